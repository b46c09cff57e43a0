import type { GroupStats } from '../group/messages.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { ReaderPool } from '../reader-pool/reader-pool.js'
import { type PartitionStats, readFirstOffset, type TopicStats } from './log-client.js'
import type { OpenPartitions } from './open-partitions.js'
import type { PartitionPlace, TopicPlace } from './place.js'

/** Counts a topic's records in shared memory, and its bytes in the pool. */
export async function readTopicStats(
  { config, partitions }: TopicPlace,
  groups: GroupStats[],
  from: { memory: SharedMemory; pool: ReaderPool; open: OpenPartitions },
): Promise<TopicStats> {
  const stats: TopicStats = { topic: config.name, records: 0, bytes: 0, partitions: [], groups }
  for (const place of partitions) {
    const of = await partitionStats(place, from)
    stats.partitions.push(of)
    stats.records += of.records
    stats.bytes += of.bytes
  }
  return stats
}

async function partitionStats(
  { partition, slot, directory }: PartitionPlace,
  { memory, pool, open }: { memory: SharedMemory; pool: ReaderPool; open: OpenPartitions },
): Promise<PartitionStats> {
  const first = readFirstOffset(memory, slot)
  const { baseOffset, position, offset } = open.durable(slot)
  const { size } = await pool.store({
    call: 'size',
    partitionDirectory: directory,
    openBaseOffset: baseOffset,
    openBytes: position,
  })
  const { bytes, segments } = size ?? { bytes: 0, segments: 0 }
  return { partition, first, next: offset, records: offset - first, bytes, segments }
}
