import path from 'node:path'
import {
  decodeWatermark,
  decodeWatermarksHeader,
  type Watermark,
  watermarkKey,
  watermarkPlaces,
} from '../format/watermarks-file.js'
import type { FileSystem } from '../storage/file-system.js'
import { lockHolder } from '../storage/lock-holder.js'
import { findReadable, type ReadablePlace } from './readable-end.js'
import { type TopicConfig, TopicStore } from './topic-store.js'
import { loadWatermarks } from './watermarks.js'

/** How much of a partition may be read, and by which word of its writer. */
export interface PartitionView {
  partition: number
  directory: string
  readable: ReadablePlace
  watermark: Watermark | undefined
}

export interface TopicView {
  config: TopicConfig
  partitions: PartitionView[]
}

/**
 * How much of a topic may be read by somebody who does not hold the lock, beside its writer or without one. Changes
 * nothing. `directory` is the namespace's. Throws `UNKNOWN_TOPIC`, `SEGMENT_CORRUPT`.
 */
export function viewTopic(fs: FileSystem, directory: string, name: string, skip = false): TopicView {
  const config = new TopicStore(fs, directory).get(name)
  // In this order: a writer that comes later has said nothing yet of what it is going to change.
  const holder = lockHolder(directory)
  const region = loadWatermarks(fs, directory)
  const header = region && decodeWatermarksHeader(region)
  // The lock may be held by somebody who does not write, such as `walrus verify`.
  const isHeld = holder !== undefined && header?.pid === holder
  const places = region && watermarkPlaces(region)
  const partitions: PartitionView[] = []
  for (let partition = 0; partition < config.partitions; partition++) {
    const at = places?.get(watermarkKey(name, config.createdMs, partition))
    const watermark = at === undefined ? undefined : decodeWatermark(region!, at)
    const partitionDirectory = path.join(directory, name, String(partition))
    const isLive = isHeld && watermark !== undefined && watermark.opening === header?.opening
    const readable = findReadable({ fs, directory: partitionDirectory, partition, watermark, isLive, skip })
    partitions.push({ partition, directory: partitionDirectory, readable, watermark })
  }
  return { config, partitions }
}
