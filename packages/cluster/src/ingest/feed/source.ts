import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import type { Input } from '../input.js'

/** Bytes of an input, one after another. */
export interface Source {
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

  constructor(stream: Readable, signal: AbortSignal | undefined) {
    super()
    this.#stream = stream
    this.#signal = signal
    if (signal) addAbortSignal(signal, stream)
    this.#pieces = stream[Symbol.asyncIterator]()
  }

  protected override async readMore(space: Uint8Array): Promise<number> {
    while (this.#piece.length === 0) {
      try {
        const { value, done } = await this.#pieces.next()
        if (done) return 0
        this.#piece = value
      } catch (error) {
        if (this.#signal?.aborted) return 0
        throw error
      }
    }
    const bytesRead = this.#piece.copy(space)
    this.#piece = this.#piece.subarray(bytesRead)
    return bytesRead
  }

  override async close(): Promise<void> {
    this.#stream.destroy()
  }
}
