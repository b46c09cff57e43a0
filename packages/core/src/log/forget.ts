import path from 'node:path'
import { systemErrorCode, WalrusError } from '../errors.js'
import { loadIndex } from '../segment/seal.js'
import {
  basesWithSuffix,
  gapsFileName,
  INDEX_SUFFIX,
  indexFileName,
  indexToComeFileName,
  producersFileName,
  segmentBases,
  segmentFileName,
} from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import { fileBytes } from '../storage/publish-file.js'
import { countDispensable, loadProducersSince, spansOf } from './producer-file.js'
import { countForgotten, countRemovable, planRetention, type Retention, type RetentionPlan } from './retention.js'
import { loadState } from './state-file.js'

/**
 * Forgetting, in steps that a crash may come between: `writeState` says durably which offset is the first; then readers
 * are told; then `removeForgotten` takes the files. What it leaves of them is not seen by any later open, which removes
 * it. Beside a writer that goes on: see `countRemovable` for what is nobody's business but the writer's.
 */

/** Takes the files of `bases` away, oldest first; each segment before its index, which is then an orphan and no danger. */
export function removeOldest(fs: FileSystem, directory: string, bases: readonly number[]): void {
  if (bases.length === 0) return
  for (const base of bases) {
    removeIfThere(fs, path.join(directory, segmentFileName(base)))
    removeIfThere(fs, path.join(directory, indexFileName(base)))
    removeIfThere(fs, path.join(directory, gapsFileName(base)))
    removeIfThere(fs, path.join(directory, indexToComeFileName(base)))
    removeIfThere(fs, path.join(directory, producersFileName(base)))
  }
  fs.syncDirectory(directory)
}

/**
 * Removes segments below the partition's first offset, as far as they are not the writer's, nor the last to know how far
 * named producers came. Returns how many.
 */
export function removeForgotten(fs: FileSystem, directory: string, openBase: number): number {
  const { offsetFirst } = loadState(fs, directory)
  const { bases, isSealed, removable } = look(fs, directory, openBase)
  const sealed = spansOf(bases, openBase).filter(({ base }) => isSealed(base))
  const forgotten = countForgotten(bases, removable, offsetFirst)
  if (forgotten === 0) return 0
  const count = countDispensable(fs, directory, sealed, forgotten, loadProducersSince(fs, directory))
  removeOldest(fs, directory, bases.slice(0, count))
  return count
}

/** Where the acknowledged point of a partition in use lies. */
export interface OpenPlace {
  /** Base offset of the segment that it lies in, and its byte there. */
  baseOffset: number
  position: number
  /** The high watermark. */
  offset: number
}

/** Decides, by what the directory holds, what `retention` lets go. Changes nothing. */
export function decideRetention(
  fs: FileSystem,
  directory: string,
  open: OpenPlace,
  retention: Retention,
  nowMs: number,
): RetentionPlan {
  const { bases, removable, isSealed } = look(fs, directory, open.baseOffset)
  const bytesOf = (place: number): number => fileBytes(fs, path.join(directory, segmentFileName(bases[place])))
  return planRetention(
    {
      bases,
      removable,
      offsetNext: open.offset,
      bytesOf,
      bytesTotal: () => {
        let bytes = open.position
        // What is full and not sealed has a reserve behind its data: it is counted when it is sealed.
        for (const [place, base] of bases.entries()) if (isSealed(base)) bytes += bytesOf(place)
        return bytes
      },
      lastMsOf: (place) => lastMsOf(fs, directory, bases[place]),
    },
    retention,
    nowMs,
  )
}

/** Times of records are their producers': one that lies ahead of the clock must not keep a segment for ever. */
function lastMsOf(fs: FileSystem, directory: string, base: number): number | undefined {
  try {
    const index = loadIndex(fs, directory, base)
    return index && Math.min(index.timestampMax, index.sealedMs)
  } catch (error) {
    // What cannot be told is not old; the other limits, and `verify`, still deal with the segment.
    if (error instanceof WalrusError) return undefined
    throw error
  }
}

/** Base offsets of the segments that may be rewritten while the partition is in use: see `countRemovable`. */
export function rewritableBases(fs: FileSystem, directory: string, openBase: number): number[] {
  const { bases, removable } = look(fs, directory, openBase)
  return bases.slice(0, removable)
}

function look(fs: FileSystem, directory: string, openBase: number) {
  const names = fs.list(directory)
  const bases = segmentBases(names)
  const sealed = new Set(basesWithSuffix(names, INDEX_SUFFIX))
  const isSealed = (base: number): boolean => base < openBase && sealed.has(base)
  return { bases, isSealed, removable: countRemovable(bases, isSealed, openBase) }
}

export function removeIfThere(fs: FileSystem, name: string): void {
  try {
    fs.remove(name)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}
