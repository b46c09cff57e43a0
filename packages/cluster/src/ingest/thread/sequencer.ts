/** Takes what comes in any order, and hands it on in the order of its numbers, which begin at 0 and leave none out. */
export class Sequencer<T> {
  readonly #waiting = new Map<number, T>()
  readonly #take: (value: T) => void
  #next = 0

  constructor(take: (value: T) => void) {
    this.#take = take
  }

  put(sequence: number, value: T): void {
    this.#waiting.set(sequence, value)
    for (let ready = this.#waiting.get(this.#next); ready !== undefined; ready = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next++)
      this.#take(ready)
    }
  }
}
