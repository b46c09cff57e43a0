import type { TopicConfig } from '@walrus-log/core'

/** Where an open partition lies: its slot in shared memory, its writer, its files. */
export interface PartitionPlace {
  partition: number
  slot: number
  writer: number
  directory: string
  /** Readers are shown gaps in place of damage: the log was opened with `recovery: 'skip'`. */
  skip: boolean
}

/** An open topic, as the host tells it to any thread. */
export interface TopicPlace {
  config: TopicConfig
  partitions: PartitionPlace[]
}
