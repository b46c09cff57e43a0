import type { GroupStats } from '../group/messages.js'
import { PARTITION_DURABLE_AT, PARTITION_DURABLE_SELECT_AT, partitionAt } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { ReaderPool } from '../reader-pool/reader-pool.js'
import { readFirstOffset, type TopicPlace, type TopicStats } from './log-client.js'

/** Offsets by what is acknowledged, and sizes by the files. */
export async function topicStatsOf(
  memory: SharedMemory,
  pool: ReaderPool,
  { config, partitions }: TopicPlace,
  groups: GroupStats[],
): Promise<TopicStats> {
  const stats: TopicStats = { topic: config.name, records: 0, bytes: 0, storedBytes: 0, partitions: [], groups }
  for (const { partition, slot, directory } of partitions) {
    const first = readFirstOffset(memory, slot)
    const at = partitionAt(slot)
    const point = memory.readPoint(at + PARTITION_DURABLE_SELECT_AT, at + PARTITION_DURABLE_AT)
    const { size } = await pool.store({
      call: 'size',
      partitionDirectory: directory,
      openBaseOffset: point.baseOffset,
      openBytes: point.position,
    })
    const records = point.offset - first
    const { bytes, storedBytes, segments } = size!
    stats.partitions.push({ partition, first, next: point.offset, records, bytes, storedBytes, segments })
    stats.records += records
    stats.bytes += bytes
    stats.storedBytes += storedBytes
  }
  return stats
}
