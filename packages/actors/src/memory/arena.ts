import { ARENA_BITS_AT, ARENA_CHUNK_BYTES } from './layout.js'

const WORD_BITS = 32

/**
 * Hands out runs of chunks of the shared arena, to any thread, without a lock: a bit a chunk, taken and given back by
 * compare-and-exchange. A run of up to 32 chunks lies within one word of bits, so that one exchange takes it; a longer
 * one takes whole words. A thread that dies in between leaves at most its own run taken.
 */
export class Arena {
  readonly #words: Int32Array
  readonly #chunks: number

  /** `words` is the control memory; `bytes` the arena's size. */
  constructor(words: Int32Array, bytes: number) {
    this.#words = words
    // Runs are looked for in whole words of bits: what is behind the last whole one is never handed out, nor counted.
    this.#chunks = Math.floor(bytes / (ARENA_CHUNK_BYTES * WORD_BITS)) * WORD_BITS
  }

  /** Byte position of a zero-or-stale run of at least `bytes`, or -1 where there is none. */
  take(bytes: number): number {
    const count = Math.ceil(bytes / ARENA_CHUNK_BYTES)
    const first = count <= WORD_BITS ? this.#takeWithinWord(count) : this.#takeWords(Math.ceil(count / WORD_BITS))
    return first < 0 ? -1 : first * ARENA_CHUNK_BYTES
  }

  /** Gives back a run; `at` and `bytes` as they were taken. */
  give(at: number, bytes: number): void {
    const count = Math.ceil(bytes / ARENA_CHUNK_BYTES)
    const first = at / ARENA_CHUNK_BYTES
    const word = ARENA_BITS_AT + Math.floor(first / WORD_BITS)
    if (count <= WORD_BITS) {
      Atomics.and(this.#words, word, ~mask(first % WORD_BITS, count))
      return
    }
    for (let index = 0; index < Math.ceil(count / WORD_BITS); index++) Atomics.store(this.#words, word + index, 0)
  }

  /** Bytes that no lane has. */
  free(): number {
    let taken = 0
    for (let word = 0; word < this.#chunks / WORD_BITS; word++) {
      for (let bits = Atomics.load(this.#words, ARENA_BITS_AT + word); bits !== 0; bits &= bits - 1) taken++
    }
    return (this.#chunks - taken) * ARENA_CHUNK_BYTES
  }

  #takeWithinWord(count: number): number {
    const words = Math.floor(this.#chunks / WORD_BITS)
    for (let word = 0; word < words; word++) {
      let bits = Atomics.load(this.#words, ARENA_BITS_AT + word)
      for (let bit = 0; bit + count <= WORD_BITS; ) {
        const run = mask(bit, count)
        if ((bits & run) !== 0) {
          bit++
          continue
        }
        const found = Atomics.compareExchange(this.#words, ARENA_BITS_AT + word, bits, bits | run)
        if (found === bits) return word * WORD_BITS + bit
        bits = found
      }
    }
    return -1
  }

  #takeWords(count: number): number {
    const words = Math.floor(this.#chunks / WORD_BITS)
    for (let first = 0; first + count <= words; ) {
      let taken = 0
      while (taken < count && Atomics.compareExchange(this.#words, ARENA_BITS_AT + first + taken, 0, -1) === 0) taken++
      if (taken === count) return first * WORD_BITS
      for (let word = 0; word < taken; word++) Atomics.store(this.#words, ARENA_BITS_AT + first + word, 0)
      first += taken + 1
    }
    return -1
  }
}

function mask(bit: number, count: number): number {
  return count === WORD_BITS ? -1 : ((1 << count) - 1) << bit
}
