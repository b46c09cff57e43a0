import { isWalrusError } from '#core/errors.js'
import { PartitionLog } from '#core/log/partition-log.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { repairPartition } from '#core/verify/repair-partition.js'
import { verifyPartition } from '#core/verify/verify-partition.js'
import type { SimulatedDisk } from '../support/simulated-disk.js'
import { isSystemError, type LogInUse } from './log-in-use.js'
import type { PartitionInUse } from './partition-in-use.js'
import { readPartition, require, requireEqual } from './read-partition.js'
import type { TopicInUse } from './topic-in-use.js'

/**
 * Turns over a bit of a copy of the partition: verify sees it, whoever opens in whatever mode is told nothing wrong, and a
 * repair, even one that dies on its way and is run again, leaves what opens strictly.
 */
export function damageAndMend(
  log: LogInUse,
  topic: TopicInUse,
  number: number,
  { repair, dieAfter }: { repair: 'cut' | 'skip'; dieAfter: number },
): void {
  const partition = topic.partitions[number]
  partition.makeSure()
  if (partition.isDoubtful) return
  const { directory } = partition.options
  const disk = log.disk.clone()
  openCopy(disk, partition, 'strict').close()
  const place = { topic: topic.config.name, partition: number, directory }
  requireEqual(verifyPartition(disk, place).findings.length, 0, 'findings in a sound partition')
  const rotten = disk.rot(directory, log.random)
  if (rotten === undefined) return
  const what = `bit in byte ${rotten.at} of ${rotten.name}`
  const report = verifyPartition(disk, place)
  require(report.findings.length > 0, `verify does not see a ${what}`)
  for (const mode of ['strict', 'tail', 'skip'] as const) openDamaged(disk.clone(), partition, mode, what)
  disk.callsLeft = dieAfter
  try {
    repairPartition(disk, place, report, repair, log.now())
  } catch (error) {
    if (!isSystemError(error)) throw error
  }
  disk.losePower(log.random)
  const left = verifyPartition(disk, place)
  repairPartition(disk, place, left, repair, log.now())
  const still = verifyPartition(disk, place).findings.map(({ what: found }) => found)
  requireEqual(still.join(), '', `what is found after a repair of a ${what}`)
  openDamaged(disk, partition, repair === 'cut' ? 'strict' : 'skip', `mended ${what}`, true)
}

function openDamaged(
  disk: SimulatedDisk,
  partition: PartitionInUse,
  mode: RecoveryMode,
  what: string,
  isMended = false,
) {
  const { directory } = partition.options
  let isOpen = false
  try {
    const log = openCopy(disk, partition, mode)
    isOpen = true
    const { offsetFirst: from, offsetNext: to } = log
    const { records } = readPartition(disk, directory, { from, to }, mode === 'skip')
    for (const { offset, value } of records) {
      requireEqual(value, partition.model.record(offset)?.value, `${what}, mode ${mode}, value at ${offset}`)
    }
    log.close()
  } catch (error) {
    const isTold = isWalrusError(error) && error.code === 'SEGMENT_CORRUPT'
    if (isMended || !isTold || (isOpen && mode === 'skip')) throw error
  }
}

function openCopy(fs: FileSystem, { options, fences }: PartitionInUse, recovery: RecoveryMode): PartitionLog {
  const { directory, partition, segmentBytes, segmentEntries, now } = options
  const producersSince = fences?.since
  return PartitionLog.open({ fs, directory, partition, segmentBytes, segmentEntries, recovery, now, producersSince })
}
