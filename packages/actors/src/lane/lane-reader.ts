import type { Region } from '@walrus-log/core'
import { KIND_PADDING, type LaneFraming, type LanePlace, POSITION_SHIFT, type SharedWords } from './layout.js'

/**
 * The receiving end of a lane; one thread owns it.
 *
 * `look` takes notice of what is published, `next` walks over it, `release` gives the bytes that were walked over back
 * to the sender. Between `next` and `release` the entry's bytes are the receiver's, to read and to write.
 *
 * Invariants, in 8-byte units modulo 2^32: `0 <= cursor - head <= tailSeen - head <= ringBytes / 8`.
 */
export class LaneReader {
  #cursor: number
  #tailSeen: number
  readonly #region: Region
  readonly #words: SharedWords
  readonly #framing: LaneFraming
  readonly #place: LanePlace
  readonly #ringMask: number

  constructor(region: Region, words: SharedWords, place: LanePlace, framing: LaneFraming) {
    this.#region = region
    this.#words = words
    this.#place = place
    this.#framing = framing
    this.#ringMask = place.ringBytes - 1
    this.#cursor = words.loadAcquire(place.headAt)
    this.#tailSeen = this.#cursor
  }

  /** Takes notice of all that is published by now. Returns whether there is something that `next` has not walked over. */
  look(): boolean {
    this.#tailSeen = this.#words.loadAcquire(this.#place.tailAt)
    return this.#tailSeen !== this.#cursor
  }

  /** The byte where the next entry begins, or -1 where there is none of what `look` saw. */
  next(): number {
    while (this.#cursor !== this.#tailSeen) {
      const offset = (this.#cursor << POSITION_SHIFT) & this.#ringMask
      const toEnd = this.#place.ringBytes - offset
      const at = this.#place.ringAt + offset
      if (toEnd < this.#framing.entryBytesMin) {
        this.#advance(toEnd)
        continue
      }
      const frame = (at + this.#framing.frameAt) >>> 2
      const length = this.#region.u32[frame]
      if (this.#region.u32[frame + 1] === KIND_PADDING) {
        this.#advance(toEnd)
        continue
      }
      if (length < this.#framing.entryBytesMin || length > toEnd || (length & 7) !== 0) {
        throw new Error(`lane: an entry of ${length} bytes stands ${toEnd} bytes before the ring's end`)
      }
      this.#advance(length)
      return at
    }
    return -1
  }

  /** Gives everything walked over back to the sender. */
  release(): void {
    this.#words.storeRelease(this.#place.headAt, this.#cursor)
  }

  /** Where `release` will put the head. */
  get cursor(): number {
    return this.#cursor
  }

  #advance(bytes: number): void {
    this.#cursor = (this.#cursor + (bytes >>> POSITION_SHIFT)) | 0
  }
}
