import { systemErrorCode } from '../errors.js'
import { viewTopic } from '../log/view-topic.js'
import type { FileSystem } from '../storage/file-system.js'
import type { PartitionPlace, PartitionReport } from './verify-partition.js'
import { verifyPartition } from './verify-partition.js'

/** What is seen once may be a file on its way; what is still so after this many looks is damage. */
const LOOKS_MAX = 4

/**
 * Verifies a partition beside its writer. Only what was acknowledged before the look is judged: what is behind that may be
 * half written, and whatever is found may have been sealed, begun or removed in the middle of it. `directory` is the
 * namespace's.
 */
export function verifyBeside(fs: FileSystem, directory: string, place: PartitionPlace): PartitionReport {
  for (let look = 1; ; look++) {
    try {
      const end = viewTopic(fs, directory, place.topic, true).partitions[place.partition]?.readable.offset ?? 0
      const report = verifyPartition(fs, place)
      report.findings = report.findings.filter(({ offset }) => offset === undefined || offset < end)
      if (report.findings.length === 0 || look === LOOKS_MAX) return report
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || look === LOOKS_MAX) throw error
    }
  }
}
