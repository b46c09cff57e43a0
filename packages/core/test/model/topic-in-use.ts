import type { TopicConfig } from '#core/log/topic-store.js'
import type { TopicModel } from './model.js'
import type { PartitionInUse } from './partition-in-use.js'

/** An open topic, and what its model says of it. */
export interface TopicInUse {
  config: TopicConfig
  partitions: PartitionInUse[]
  model: TopicModel
  ids: Map<string, number>
  /** Names that were opened in this process: nobody else writes under them. */
  opened: Set<string>
}

/** A topic as a story makes it. */
export interface TopicWish {
  name: string
  partitions: number
  isPowerSafe: boolean
  segmentEntries: number
}
