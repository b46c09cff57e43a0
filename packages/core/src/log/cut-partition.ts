import path from 'node:path'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { loadIndex, sealSegment } from '../segment/seal.js'
import {
  gapsFileName,
  indexFileName,
  indexToComeFileName,
  producersFileName,
  segmentBases,
  segmentFileName,
} from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import type { KnownGood } from './known-good.js'

/**
 * Takes back all that a partition holds behind `durable`, after a failed write or sync: nothing of it was acknowledged,
 * and nothing of it is to come back at the next open. The segment is sealed there, so that no later write goes into a
 * file whose pages the kernel may have dropped. No open log may hold the directory. Throws where that fails; the
 * partition must then take no more writes.
 */
export function cutPartition(fs: FileSystem, directory: string, durable: KnownGood, nowMs: number): void {
  const behind = segmentBases(fs.list(directory)).filter((base) => base > durable.baseOffset)
  removeSegments(fs, directory, behind)
  // Also where nothing is left to remove: an attempt before this one may have failed just here.
  fs.syncDirectory(directory)
  const name = path.join(directory, segmentFileName(durable.baseOffset))
  if (!fs.exists(name)) return
  const index = loadIndex(fs, directory, durable.baseOffset)
  if (index !== undefined && index.dataBytes <= durable.position) return
  if (durable.position <= SEGMENT_HEADER_BYTES) {
    removeSegments(fs, directory, [durable.baseOffset])
    return
  }
  // Sealed beyond the durable point, in the background, before the failure: the seal is taken back.
  if (index !== undefined) removeIndex(fs, directory, durable.baseOffset)
  // The size is set also where it seems to be right: a seal whose sync failed has left it in doubt.
  const file = fs.open(name, 'write')
  try {
    file.truncate(durable.position)
  } finally {
    file.close()
  }
  sealSegment(fs, directory, { baseOffset: durable.baseOffset, dataBytes: durable.position, index: undefined }, nowMs)
}

/**
 * Removes segments whose base offsets are given ascending. The last goes first, so that whatever is left after a failure
 * is a prefix, never a hole; an index goes before its segment, so that none is ever left to speak for a later file.
 */
export function removeSegments(fs: FileSystem, directory: string, bases: readonly number[]): void {
  for (const base of [...bases].reverse()) {
    removeIndex(fs, directory, base)
    fs.remove(path.join(directory, segmentFileName(base)))
    // Last: without it, what is left of a segment that is half removed would be damage.
    for (const name of [gapsFileName(base), indexToComeFileName(base)]) {
      if (fs.exists(path.join(directory, name))) fs.remove(path.join(directory, name))
    }
    fs.syncDirectory(directory)
  }
}

function removeIndex(fs: FileSystem, directory: string, base: number): void {
  const index = path.join(directory, indexFileName(base))
  // It says nothing without the index, and nothing of a segment that ends elsewhere; so it needs no sync of its own.
  const producers = path.join(directory, producersFileName(base))
  if (fs.exists(producers)) fs.remove(producers)
  if (!fs.exists(index)) return
  fs.remove(index)
  fs.syncDirectory(directory)
}
