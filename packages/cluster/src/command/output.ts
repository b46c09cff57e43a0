import type { WriteStream } from 'node:tty'
import picocolors from 'picocolors'

export type Colours = ReturnType<typeof picocolors.createColors>

/** A standard stream of the command. Whoever reads it may go away at any time (`| head`): that is no error. */
export class Output {
  readonly #stream: NodeJS.WriteStream
  readonly colours: Colours
  #isClosed = false
  /** Ends the wait of whoever waits for the reader. */
  #wake: () => void = () => {}

  constructor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
    this.#stream = stream
    this.colours = picocolors.createColors(stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb')
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      this.#isClosed = true
      this.#wake()
    })
    stream.on('drain', () => this.#wake())
    stream.on('close', () => this.#wake())
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** Nobody reads any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  get columns(): number | undefined {
    return (this.#stream as WriteStream).columns
  }

  get stream(): NodeJS.WriteStream {
    return this.#stream
  }

  line(text = ''): void {
    if (!this.#isClosed) this.#stream.write(`${text}\n`)
  }

  /** Writes and, where the reader is slower, waits for it. */
  async write(text: string): Promise<void> {
    if (this.#isClosed || this.#stream.write(text)) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  /** Resolves when everything written has left the process. */
  async end(): Promise<void> {
    if (this.#isClosed) return
    await new Promise<void>((resolve) => this.#stream.write('', () => resolve()))
  }
}
