import { batchAcknowledgedOffset, batchBaseOffset } from '../format/batch.js'
import type { Region } from '../format/region.js'
import { READ_CHUNK_BYTES } from '../limits.js'
import type { OpenFile } from '../storage/file-system.js'

/**
 * Finds out, batch by batch, from where on nothing says that a segment's bytes were ever synced: no later batch knew them
 * as acknowledged.
 */
export class UnprovenTail {
  #acknowledged = 0
  /** Batches that are not known to be acknowledged, ascending: offset and position by turns. */
  #waiting: number[] = []

  add(region: Region, at: number, position: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, batchAcknowledgedOffset(region, at))
    let proven = 0
    while (proven < this.#waiting.length && this.#waiting[proven] < this.#acknowledged) proven += 2
    if (proven > 0) this.#waiting.splice(0, proven)
    this.#waiting.push(batchBaseOffset(region, at), position)
  }

  /** Where the first such batch begins; undefined where there is none. */
  get position(): number | undefined {
    return this.#waiting[1]
  }
}

/**
 * Writes the bytes [from, to) of a file over themselves, so that the sync that follows has them to write. After a sync
 * that failed, perhaps in a process before this one, the system holds pages for clean that the disk has never seen: to
 * sync them again succeeds, and does nothing.
 */
export function rewrite(file: OpenFile, from: number, to: number): void {
  const chunk = new Uint8Array(Math.min(to - from, READ_CHUNK_BYTES))
  for (let position = from; position < to; ) {
    const bytes = file.read(chunk, 0, Math.min(chunk.length, to - position), position)
    if (bytes === 0) return
    file.write(chunk, 0, bytes, position)
    position += bytes
  }
}
