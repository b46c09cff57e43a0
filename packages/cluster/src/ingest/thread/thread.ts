import { Worker } from 'node:worker_threads'
import { decodeError, type ErrorMessage } from './error-message.js'

export type ReplyMessage<Reply> = { reply: Reply; error?: undefined } | { reply?: undefined; error: ErrorMessage }

interface Caller<Reply> {
  resolve(reply: Reply): void
  reject(error: Error): void
}

/**
 * A worker thread that answers requests one after another, in the order of asking. The first answer is that it has
 * started. A thread that fails answers nothing any more: every call then rejects with the same error.
 */
export class Thread<Request, Reply> {
  readonly #worker: Worker
  readonly #callers: Caller<Reply>[] = []
  readonly #exited: Promise<void>
  #failure: Error | undefined
  #isEnding = false

  /** `url` names a module that calls `serve`. */
  constructor(url: URL, workerData: unknown) {
    this.#worker = new Worker(url, { workerData })
    this.#worker.on('message', (message: ReplyMessage<Reply>) => this.#answer(message))
    this.#worker.on('messageerror', (error) => this.#fail(error))
    this.#worker.on('error', (error) => this.#fail(error instanceof Error ? error : new Error(String(error))))
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        if (!this.#isEnding) this.#fail(new Error(`a worker thread of the run ended by itself, with code ${code}`))
        resolve()
      })
    })
  }

  /** Requests without an answer yet. */
  get pendingCount(): number {
    return this.#callers.length
  }

  started(): Promise<Reply> {
    return this.#wait()
  }

  call(request: Request, transfer: ArrayBuffer[] = []): Promise<Reply> {
    if (!this.#failure) this.#worker.postMessage({ request }, transfer)
    return this.#wait()
  }

  /** Lets the thread finish what it was asked, and end. */
  async end(): Promise<void> {
    this.#isEnding = true
    this.#worker.postMessage({ end: true })
    await this.#exited
  }

  async terminate(): Promise<void> {
    this.#isEnding = true
    await this.#worker.terminate()
  }

  #wait(): Promise<Reply> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#callers.push({ resolve, reject }))
  }

  #answer({ reply, error }: ReplyMessage<Reply>): void {
    if (error) this.#fail(decodeError(error))
    else this.#callers.shift()?.resolve(reply as Reply)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const caller of this.#callers.splice(0)) caller.reject(this.#failure)
  }
}
