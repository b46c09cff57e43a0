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
  return new FileSource(await open(input.path, 'r'), input.sizeBytes)
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

/**
 * The first `sizeBytes` of a file. What it gains meanwhile is for another run to take: a resumption notes how far a file
 * goes before it is read, and the end of the noted part has to be the end that was met.
 */
class FileSource extends PeekingSource {
  readonly #handle: FileHandle
  #leftBytes: number

  constructor(handle: FileHandle, sizeBytes: number) {
    super()
    this.#handle = handle
    this.#leftBytes = sizeBytes
  }

  protected override async readMore(space: Uint8Array): Promise<number> {
    const length = Math.min(space.length, this.#leftBytes)
    if (length === 0) return 0
    const { bytesRead } = await this.#handle.read(space, 0, length, null)
    this.#leftBytes -= bytesRead
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
