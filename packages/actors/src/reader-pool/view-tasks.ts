import path from 'node:path'
import {
  decodeWatermark,
  decodeWatermarksHeader,
  type FileSystem,
  findReadable,
  isLockHeld,
  loadState,
  loadWatermarks,
  type ReadablePlace,
  type TopicConfig,
  TopicStore,
  type Watermark,
  watermarkKey,
  watermarkPlaces,
} from '@walrus-log/core'

// The reader pool's part in logs that are only read: what it finds out, it finds out without changing anything.

/** How much of a partition may be read, and by which word of its writer. */
export interface PartitionView {
  readable: ReadablePlace
  watermark: Watermark | undefined
}

export interface TopicView {
  config: TopicConfig
  partitions: PartitionView[]
}

/** `directory` is the namespace's. Throws `UNKNOWN_TOPIC`. */
export function viewTopic(fs: FileSystem, directory: string, name: string, skip: boolean): TopicView {
  const config = new TopicStore(fs, directory).get(name)
  // In this order: a writer that comes later has said nothing yet of what it is going to change.
  const isHeld = isLockHeld(directory)
  const region = loadWatermarks(fs, directory)
  const opening = region && decodeWatermarksHeader(region)?.opening
  const places = region && watermarkPlaces(region)
  const partitions: PartitionView[] = []
  for (let partition = 0; partition < config.partitions; partition++) {
    const at = places?.get(watermarkKey(name, config.createdMs, partition))
    const watermark = at === undefined ? undefined : decodeWatermark(region!, at)
    const readable = findReadable({
      fs,
      directory: path.join(directory, name, String(partition)),
      watermark,
      isLive: isHeld && watermark !== undefined && watermark.opening === opening,
      skip,
    })
    partitions.push({ readable, watermark })
  }
  return { config, partitions }
}

/** First offsets by the partitions' state files, which move before anything is removed. */
export function firstOffsets(fs: FileSystem, directories: readonly string[]): number[] {
  return directories.map((directory) => loadState(fs, directory).offsetFirst)
}
