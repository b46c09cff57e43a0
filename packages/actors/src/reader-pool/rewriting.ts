import { type Compression, DELETE_GRACE_MS_DEFAULT, type KeepingConfig, type WalrusError } from '@walrus-log/core'
import type { ReaderPool } from './reader-pool.js'

export interface RewriteStep {
  /** Whether another step has something to do now, and not only after the next seal. */
  isMore: boolean
  /** When time alone gives it something to do; infinite where it does not. */
  dueMs: number
  /** Why a segment was left as it was. */
  error?: WalrusError
}

/** Whether sealed segments of a topic with these settings are ever rewritten. */
export const isRewritten = (config: KeepingConfig): boolean =>
  config.cleanup === 'compact' || compressionOf(config) !== undefined

const compressionOf = ({ compression }: KeepingConfig): Compression | undefined =>
  compression === 'none' ? undefined : compression

/** A partition's sealed segments that are to be compacted, and then compressed: how far that is, as its host knows it. */
export class Rewriting {
  isQueued = false
  /** Nothing below this base offset is to be looked at again for compression. */
  #compressedTo = 0
  #dueMs = Number.POSITIVE_INFINITY
  /** The word that ends the step in hand. */
  #stop: SharedArrayBuffer | undefined

  /** A pass of compaction, or else one segment compressed. Throws what the system, or a damaged segment, says. */
  async step(
    pool: ReaderPool,
    config: KeepingConfig,
    place: { partitionDirectory: string; openBaseOffset: number },
  ): Promise<RewriteStep> {
    const stop = new SharedArrayBuffer(4)
    this.#stop = stop
    try {
      if (config.cleanup === 'compact') {
        const { deleteGraceMs = DELETE_GRACE_MS_DEFAULT } = config
        const { rewritten, isMore, dueMs } = await pool.compact({ ...place, deleteGraceMs, nowMs: Date.now(), stop })
        this.#dueMs = dueMs
        if (rewritten > 0) this.#compressedTo = 0
        if (isMore) return { isMore, dueMs }
      }
      const compression = compressionOf(config)
      const dueMs = this.#dueMs
      if (compression === undefined) return { isMore: false, dueMs }
      const { done, isMore, error } = await pool.compress({ ...place, compression, done: this.#compressedTo, stop })
      this.#compressedTo = done
      return { isMore, dueMs, error }
    } finally {
      this.#stop = undefined
    }
  }

  /** Ends the step in hand before long; what it had not finished is as it was. */
  stop(): void {
    if (this.#stop !== undefined) Atomics.store(new Int32Array(this.#stop), 0, 1)
  }
}
