import { isAscii, isUtf8 } from 'node:buffer'

/** The text of a chunk, whose encoding is checked once for all of it where that answers for every part. */
export class ChunkText {
  readonly bytes: Buffer
  readonly #isAscii: boolean
  readonly #isUtf8: boolean

  constructor(bytes: Uint8Array, length: number) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, length)
    this.#isAscii = isAscii(this.bytes)
    this.#isUtf8 = this.#isAscii || isUtf8(this.bytes)
  }

  /** Whether a part that begins and ends where a character does is valid UTF-8. */
  isValid(start: number, end: number): boolean {
    return this.#isUtf8 || isUtf8(this.bytes.subarray(start, end))
  }

  text(start: number, end: number): string {
    return this.bytes.toString(this.#isAscii ? 'latin1' : 'utf8', start, end)
  }
}
