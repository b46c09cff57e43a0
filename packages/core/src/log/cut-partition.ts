import path from 'node:path'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { sealSegment } from '../segment/seal.js'
import { indexFileName, segmentBases, segmentFileName } from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import type { KnownGood } from './partition-recovery.js'

/**
 * Takes back all that a partition holds behind `durable`, after a failed write or sync: nothing of it was acknowledged,
 * and nothing of it is to come back at the next open. The segment is sealed there, so that no later write goes into a
 * file whose pages the kernel may have dropped. No open log may hold the directory. Throws where that fails; the
 * partition must then take no more writes.
 */
export function cutPartition(fs: FileSystem, directory: string, durable: KnownGood, nowMs: number): void {
  const bases = segmentBases(fs.list(directory))
  // The last first: whatever is left after a failure is a prefix, never a hole.
  for (const base of bases.reverse()) {
    if (base <= durable.baseOffset) break
    const index = path.join(directory, indexFileName(base))
    if (fs.exists(index)) fs.remove(index)
    fs.remove(path.join(directory, segmentFileName(base)))
  }
  fs.syncDirectory(directory)
  const name = path.join(directory, segmentFileName(durable.baseOffset))
  if (!fs.exists(name) || fs.exists(path.join(directory, indexFileName(durable.baseOffset)))) return
  if (durable.position <= SEGMENT_HEADER_BYTES) {
    fs.remove(name)
    fs.syncDirectory(directory)
    return
  }
  sealSegment(fs, directory, { baseOffset: durable.baseOffset, dataBytes: durable.position, index: undefined }, nowMs)
}
