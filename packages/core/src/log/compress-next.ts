import type { Compression } from '../compression/codec.js'
import { isWalrusError, type WalrusError } from '../errors.js'
import { compressSegment } from '../segment/compress-segment.js'
import type { FileSystem } from '../storage/file-system.js'
import { rewritableBases } from './forget.js'

export interface CompressStep {
  /** All segments below this base offset have been looked at: they are compressed, or never will be. */
  done: number
  /** Whether there may be more to do now, and not only after the next seal. */
  isMore: boolean
  /** Why the segment before `done` was left as it was. */
  error?: WalrusError
}

/**
 * Compresses the first raw segment from `done` on that is none of the writer's business any more: see `countRemovable`.
 * One segment a call, so that others come in between; nobody else may remove segments meanwhile. Throws what the system
 * says; then all is as it was.
 */
export function compressNext(
  fs: FileSystem,
  directory: string,
  openBase: number,
  done: number,
  compression: Compression,
  isStopped: () => boolean,
): CompressStep {
  for (const base of rewritableBases(fs, directory, openBase)) {
    if (base < done) continue
    if (isStopped()) return { done, isMore: true }
    try {
      const outcome = compressSegment(fs, directory, base, compression, isStopped)
      if (outcome === 'stopped') return { done, isMore: true }
      done = base + 1
      if (outcome === 'compressed') return { done, isMore: true }
    } catch (error) {
      if (!isWalrusError(error)) throw error
      return { done: base + 1, isMore: true, error }
    }
  }
  return { done, isMore: false }
}
