import type { ConsumerProgress, CursorKey } from '@walrus-log/core'
import type { CursorWriter } from './cursor-writer.js'

/** Makes a consumer's progress durable: one commit after the other, each with all that is handled by then. */
export class Committer {
  readonly #progress: ConsumerProgress
  readonly #writer: CursorWriter
  readonly #key: Omit<CursorKey, 'partition'>
  #commit: Promise<void> | undefined

  /** `key`: whose cursors they are. */
  constructor(progress: ConsumerProgress, writer: CursorWriter, key: Omit<CursorKey, 'partition'>) {
    this.#progress = progress
    this.#writer = writer
    this.#key = key
  }

  /** Begins to make durable what is handled, unless a commit is on its way. */
  begin(): void {
    if (this.#commit !== undefined) return
    const commit = this.#progress.maybeBegin()
    if (commit === undefined) return
    const cursors = commit.cursors.map((cursor) => ({ ...cursor, ...this.#key }))
    this.#commit = this.#writer.write(cursors).then(
      () => {
        this.#commit = undefined
        this.#progress.end(commit)
      },
      (error) => {
        this.#commit = undefined
        this.#progress.fail()
        throw error
      },
    )
    // Who has to wait for it meets the error; who does not commits the same with the next one.
    this.#commit.catch(() => {})
  }

  /** Resolves when the commit that is on its way, or one that is begun now, is durable. */
  async next(): Promise<void> {
    this.begin()
    await this.#commit
  }

  /** Resolves when all that is handled at the call is durable. */
  async all(): Promise<void> {
    await this.#commit?.catch(() => {})
    await this.next()
  }
}
