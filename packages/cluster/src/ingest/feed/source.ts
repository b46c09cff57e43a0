import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import type { Input } from '../input.js'

/** Bytes of an input, one after another. */
export interface Source {
  /** Resolves when `read` would answer at once; undefined where it always does, or nearly so. */
  arrival(): Promise<void> | undefined
  /** Fills some of `space`; 0 is the end, or that the signal came. */
  read(space: Uint8Array): Promise<number>
  /** Shows up to `bytesMax` from where `read` will go on; more than before, each time, until the end. */
  peek(bytesMax: number): Promise<{ bytes: Uint8Array; isEnd: boolean }>
  close(): Promise<void>
}

export async function openSource(input: Input, signal: AbortSignal | undefined): Promise<Source> {
  if (input.path === null) return new StreamSource(process.stdin, signal)
  // A pipe with a name is read as a stream: a read that waits in it cannot be taken back otherwise.
  if (input.sizeBytes === null) return new StreamSource(createReadStream(input.path), signal)
  return new FileSource(await open(input.path, 'r'))
}

/** Keeps what was shown, for `read` to give. */
abstract class PeekingSource implements Source {
  #shown: Buffer = Buffer.alloc(0)

  protected abstract readMore(space: Uint8Array): Promise<number>
  abstract close(): Promise<void>

  arrival(): Promise<void> | undefined {
    return undefined
  }

  async read(space: Uint8Array): Promise<number> {
    if (this.#shown.length === 0) return this.readMore(space)
    const bytesRead = this.#shown.copy(space)
    this.#shown = this.#shown.subarray(bytesRead)
    return bytesRead
  }

  async peek(bytesMax: number): Promise<{ bytes: Uint8Array; isEnd: boolean }> {
    const space = Buffer.alloc(bytesMax - this.#shown.length)
    const bytesRead = await this.readMore(space)
    this.#shown = Buffer.concat([this.#shown, space.subarray(0, bytesRead)])
    return { bytes: this.#shown, isEnd: bytesRead === 0 }
  }
}

class FileSource extends PeekingSource {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    super()
    this.#handle = handle
  }

  protected override async readMore(space: Uint8Array): Promise<number> {
    const { bytesRead } = await this.#handle.read(space, 0, space.length, null)
    return bytesRead
  }

  override close(): Promise<void> {
    return this.#handle.close()
  }
}

class StreamSource extends PeekingSource {
  readonly #stream: Readable
  readonly #signal: AbortSignal | undefined
  readonly #pieces: AsyncIterator<Buffer>
  #piece: Buffer = Buffer.alloc(0)
  #isEnd = false

  constructor(stream: Readable, signal: AbortSignal | undefined) {
    super()
    this.#stream = stream
    this.#signal = signal
    if (signal) addAbortSignal(signal, stream)
    this.#pieces = stream[Symbol.asyncIterator]()
  }

  override async arrival(): Promise<void> {
    while (this.#piece.length === 0 && !this.#isEnd) {
      try {
        const { value, done } = await this.#pieces.next()
        if (done) this.#isEnd = true
        else this.#piece = value
      } catch (error) {
        if (!this.#signal?.aborted) throw error
        this.#isEnd = true
      }
    }
  }

  protected override async readMore(space: Uint8Array): Promise<number> {
    await this.arrival()
    const bytesRead = this.#piece.copy(space)
    this.#piece = this.#piece.subarray(bytesRead)
    return bytesRead
  }

  override async close(): Promise<void> {
    this.#stream.destroy()
  }
}
