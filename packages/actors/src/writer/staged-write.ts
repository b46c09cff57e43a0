import type { Region } from '@walrus-log/core'

/**
 * What one write call will take: batches where they lie, those that follow one another in the arena as one view. Owned by
 * one partition's writer; the memory stays the lanes'.
 */
export class StagedWrite {
  bytes = 0
  readonly #arena: Region
  #views: Uint8Array[] = []
  #spanAt = -1
  #spanEnd = -1

  constructor(arena: Region) {
    this.#arena = arena
  }

  /** `region` is the arena, or the batch's own memory. */
  add(region: Region, at: number, length: number): void {
    if (region !== this.#arena) {
      this.#endSpan()
      this.#views.push(region.u8.subarray(at, at + length))
    } else {
      if (this.#spanEnd !== at) {
        this.#endSpan()
        this.#spanAt = at
      }
      this.#spanEnd = at + length
    }
    this.bytes += length
  }

  /** Hands out what is staged, and begins anew. */
  take(): Uint8Array[] {
    this.#endSpan()
    const views = this.#views
    this.clear()
    return views
  }

  clear(): void {
    this.#views = []
    this.#spanAt = -1
    this.#spanEnd = -1
    this.bytes = 0
  }

  #endSpan(): void {
    if (this.#spanAt >= 0) this.#views.push(this.#arena.u8.subarray(this.#spanAt, this.#spanEnd))
    this.#spanAt = -1
    this.#spanEnd = -1
  }
}
