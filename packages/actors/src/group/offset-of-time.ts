import { CODECS } from '../log/codec.js'
import { type LogClient, readFirstOffset, type TopicPlace } from '../log/log-client.js'
import { PartitionReader } from '../log/partition-reader.js'
import { highWatermark } from '../log/reader.js'

/** Offset of the first acknowledged record of that time or later; where there is none, the end of what is there. */
export async function offsetOfTime(
  client: LogClient,
  topic: TopicPlace,
  { partition, timestampMs, fileSystem }: { partition: number; timestampMs: number; fileSystem: string | undefined },
): Promise<number> {
  const place = topic.partitions[partition]
  const offsetEnd = highWatermark(client, place)
  const start = { offset: readFirstOffset(client.memory, place.slot), timestampMs }
  const access = { fs: undefined, fileSystem, offsetEnd }
  const reader = new PartitionReader(client, place, CODECS[topic.config.codec], start, access)
  try {
    while (reader.hasMore) {
      await reader.fill()
      const batch = reader.take()
      if (batch !== undefined && batch.gap === undefined) return batch.baseOffset
    }
    return offsetEnd
  } finally {
    reader.close(true)
  }
}
