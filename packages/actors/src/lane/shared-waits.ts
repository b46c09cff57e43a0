import { waitWhile } from './doorbell.js'

/**
 * One thread's waits for words that others move: one pending wait a word, however many wait for it. A pending wait cannot
 * be taken back, so that each who came and went would leave one behind until the word moves, which may be never.
 *
 * A wait may be armed with an older value than that of who joins it: it ends all the same at the next notification, since
 * these are for whoever waits on the word. So who moves a word has to notify whenever anybody is there that wants it.
 */
export class SharedWaits {
  readonly #words: Int32Array
  readonly #wakes = new Map<number, Set<() => void>>()

  constructor(words: Int32Array) {
    this.#words = words
  }

  /** Calls `wake` when the word is no longer `value`, perhaps at once, and perhaps too early; unless `drop` comes before. */
  add(at: number, value: number, wake: () => void): void {
    if (Atomics.load(this.#words, at) !== value) return wake()
    const known = this.#wakes.get(at)
    if (known !== undefined) return void known.add(wake)
    const wakes = new Set([wake])
    this.#wakes.set(at, wakes)
    void waitWhile(this.#words, at, value).then(() => {
      this.#wakes.delete(at)
      for (const wake of wakes) wake()
    })
  }

  /** Wakes everybody, as if all words had moved. */
  wakeAll(): void {
    for (const wakes of this.#wakes.values()) for (const wake of wakes) wake()
  }

  drop(at: number, wake: () => void): void {
    this.#wakes.get(at)?.delete(wake)
  }
}
