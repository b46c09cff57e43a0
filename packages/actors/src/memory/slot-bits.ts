/**
 * A bit for each partition's slot that says "look at this one", so that who looks after thousands of partitions looks at
 * those that have something. Set by any thread behind what there is to see; taken by one, before it looks.
 *
 * That a bit is set already means that it has not been taken: whoever takes it looks after that. See `docs/memory-model.md`.
 */
export class SlotBits {
  readonly #words: Int32Array
  readonly #at: number
  /** Words that a partition of the taker's ever stood in. */
  #count = 0

  /** `at`: the first word of the bits. */
  constructor(words: Int32Array, at: number) {
    this.#words = words
    this.#at = at
  }

  /** The taker looks after this partition from now on. Bits that were set before are still there. */
  include(slot: number): void {
    this.#count = Math.max(this.#count, (slot >>> 5) + 1)
  }

  get hasAny(): boolean {
    for (let word = 0; word < this.#count; word++) if (Atomics.load(this.#words, this.#at + word) !== 0) return true
    return false
  }

  /** Takes all bits that are set, and says which slots they stand for. */
  take(onSlot: (slot: number) => void): boolean {
    let hasAny = false
    for (let word = 0; word < this.#count; word++) {
      if (Atomics.load(this.#words, this.#at + word) === 0) continue
      for (let bits = Atomics.exchange(this.#words, this.#at + word, 0); bits !== 0; bits &= bits - 1) {
        onSlot(word * 32 + 31 - Math.clz32(bits & -bits))
        hasAny = true
      }
    }
    return hasAny
  }
}

/** Sets one bit of those that begin at `at`. */
export function setBit(words: Int32Array, at: number, index: number): void {
  const word = at + (index >>> 5)
  const bit = 1 << (index & 31)
  if ((Atomics.load(words, word) & bit) === 0) Atomics.or(words, word, bit)
}
