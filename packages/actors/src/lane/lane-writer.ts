import { assert, type Region } from '@walrus-log/core'
import { KIND_PADDING, type LaneFraming, type LanePlace, POSITION_SHIFT, type SharedWords } from './layout.js'

/**
 * The sending end of a lane; one thread owns it.
 *
 * An entry is sent in three steps: `claim` finds room, the caller writes the bytes and the frame, `publish` lets the
 * receiver see it. Nothing that was not published is ever visible, so that a thread that dies in between harms nobody.
 *
 * Invariants, in 8-byte units modulo 2^32: `0 <= position - headSeen <= ringBytes / 8`;
 * bytes in [head, position) are the receiver's to read, all others the sender's to write.
 */
export class LaneWriter {
  /** Byte just behind the room that the last `claim` found: entries up to here need no new claim. */
  limit = 0
  /** Largest entry: with half the ring, an entry and the padding before it always fit an empty ring. */
  readonly entryBytesMax: number
  #position: number
  #headSeen: number
  readonly #region: Region
  readonly #words: SharedWords
  readonly #framing: LaneFraming
  readonly #place: LanePlace
  readonly #ringMask: number

  constructor(region: Region, words: SharedWords, place: LanePlace, framing: LaneFraming) {
    assert((place.ringBytes & (place.ringBytes - 1)) === 0 && place.ringBytes >= 256, 'a ring is a power of two')
    this.#region = region
    this.#words = words
    this.#place = place
    this.#framing = framing
    this.#ringMask = place.ringBytes - 1
    this.entryBytesMax = place.ringBytes / 2
    this.#position = words.loadAcquire(place.tailAt)
    this.#headSeen = words.loadAcquire(place.headAt)
  }

  /**
   * Finds contiguous room for an entry of `bytes` (8-aligned, at most `entryBytesMax`), and returns the byte where it
   * begins; `limit` says how far the room reaches. Returns -1 where the lane is full; nothing has changed then.
   */
  claim(bytes: number): number {
    assert(bytes <= this.entryBytesMax, 'an entry is at most half of its ring')
    const offset = this.#offset
    const toEnd = this.#place.ringBytes - offset
    if (toEnd >= bytes) {
      const free = this.#free(bytes)
      if (free < bytes) return -1
      const at = this.#place.ringAt + offset
      this.limit = at + Math.min(free, toEnd)
      return at
    }
    const free = this.#free(toEnd + bytes)
    if (free < toEnd + bytes) return -1
    if (toEnd >= this.#framing.entryBytesMin) {
      const frame = (this.#place.ringAt + offset + this.#framing.frameAt) >>> 2
      this.#region.u32[frame] = toEnd
      this.#region.u32[frame + 1] = KIND_PADDING
    }
    this.#position = (this.#position + (toEnd >>> POSITION_SHIFT)) | 0
    this.limit = this.#place.ringAt + Math.min(free - toEnd, this.#place.ringBytes)
    return this.#place.ringAt
  }

  /** Asks anew how far the room behind `at` reaches; `at` is where the open entry began. */
  extend(at: number): void {
    this.#headSeen = this.#words.loadAcquire(this.#place.headAt)
    const toEnd = this.#place.ringBytes - (at - this.#place.ringAt)
    this.limit = at + Math.min(this.#freeSeen, toEnd)
  }

  /** Publishes everything claimed up to the byte `end`, which is where the last entry ends. */
  publish(end: number): void {
    const bytes = end - (this.#place.ringAt + this.#offset)
    this.#position = (this.#position + (bytes >>> POSITION_SHIFT)) | 0
    this.#words.storeRelease(this.#place.tailAt, this.#position)
  }

  /** Bytes that can be written before the receiver takes more, counted anew. */
  freeBytes(): number {
    this.#headSeen = this.#words.loadAcquire(this.#place.headAt)
    return this.#freeSeen
  }

  /** Where the next entry goes, as a byte of the ring. */
  get #offset(): number {
    return (this.#position << POSITION_SHIFT) & this.#ringMask
  }

  get #freeSeen(): number {
    return this.#place.ringBytes - (((this.#position - this.#headSeen) | 0) << POSITION_SHIFT)
  }

  /** Free bytes, looking at the receiver's word only where what is known does not do. */
  #free(needed: number): number {
    const seen = this.#freeSeen
    return seen >= needed ? seen : this.freeBytes()
  }
}
