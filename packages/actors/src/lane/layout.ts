/**
 * The framing of a lane's entries. A lane is a ring of bytes with one sending and one receiving thread; positions are
 * free-running 32-bit counters of 8-byte units, so that a full ring and an empty one differ.
 *
 * An entry never straddles the ring's end. Where the bytes up to the end do not hold the next entry, the sender leaves
 * them: with a padding entry where an entry's smallest form fits, silently where it does not; the receiver skips both.
 *
 * Every entry has two words, its length in bytes (a multiple of 8) and its kind, at a place that is the lane's choice:
 * a record lane's entries are batches, whose own length and magic words they are, so that what lies in the lane is what
 * goes to the disk.
 */
export interface LaneFraming {
  /** Byte of the length word within an entry; the kind follows it. */
  frameAt: number
  /** Smallest entry. */
  entryBytesMin: number
}

export const POSITION_SHIFT = 3

export const KIND_PADDING = 0x5041_4421

/** What the two sides of a lane ask of the words that they share. */
export interface SharedWords {
  /** Everything the other side did before its `storeRelease` of this word is visible after this. */
  loadAcquire(at: number): number
  /** Everything this side did before is visible to whoever reads this value. */
  storeRelease(at: number, value: number): void
}

/** Sequentially consistent, as JavaScript's atomics are; the doorbell's protocol needs that much. */
export class AtomicWords implements SharedWords {
  readonly #words: Int32Array

  constructor(words: Int32Array) {
    this.#words = words
  }

  loadAcquire(at: number): number {
    return Atomics.load(this.#words, at)
  }

  storeRelease(at: number, value: number): void {
    Atomics.store(this.#words, at, value)
  }
}

/** Where a lane lies: its ring in the arena, its two positions in the shared words. */
export interface LanePlace {
  ringAt: number
  /** A power of two, at least four times the largest entry's need; see `LaneWriter.entryBytesMax`. */
  ringBytes: number
  /** Word that the sender writes. */
  tailAt: number
  /** Word that the receiver writes. */
  headAt: number
}
