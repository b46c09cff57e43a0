/** So many at once that their disk's waits overlap, and so few that what else the reader pool is asked for is not held up. */
const AT_ONCE_MAX = 16

/** Runs what changes a log's topics: changes of one topic one after the other, those of different topics at once. */
export class Changes {
  /** The end of the last change of each topic that has one under way. */
  readonly #ends = new Map<string, Promise<void>>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  run<Result>(topic: string, action: () => Promise<Result>): Promise<Result> {
    const before = this.#ends.get(topic) ?? Promise.resolve()
    const result = before.then(() => this.#begin()).then(action)
    const ended = (): void => this.#end(topic, end)
    const end: Promise<void> = result.then(ended, ended)
    this.#ends.set(topic, end)
    return result
  }

  /** Resolves when all that were asked for by now are over. */
  async settled(): Promise<void> {
    await Promise.all(this.#ends.values())
  }

  #begin(): Promise<void> {
    if (this.#running < AT_ONCE_MAX) {
      this.#running++
      return Promise.resolve()
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #end(topic: string, end: Promise<void>): void {
    if (this.#ends.get(topic) === end) this.#ends.delete(topic)
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }
}
