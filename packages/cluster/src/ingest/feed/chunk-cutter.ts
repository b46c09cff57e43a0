import { assert } from '@walrus-log/core'
import { type Boundaries, countNewlines, type InputProblem, NEWLINE, skipSpace } from './boundaries.js'
import { compressionProblem } from './compression.js'

/** Whole records, in the bytes of the source. */
export interface Chunk {
  kind: 'chunk'
  /** The records are in `[0, length)`; the array owns its buffer, so that it can change threads. */
  bytes: Uint8Array<ArrayBuffer>
  length: number
  /** Where the records begin and end, in pairs, if newlines do not tell. */
  spans: Uint32Array<ArrayBuffer> | undefined
  /** Bytes of the source that this stands for. */
  sourceBytes: number
  /** The source has ended behind the chunk's last record, and no newline ends that one. */
  endsWithinLine: boolean
}

/** A part of the source that never became a chunk. */
export interface Refusal {
  kind: 'refusal'
  reason: string
  /** The line that the reject begins in, counted from 0 at the end of the chunk before. */
  line: number
  newlines: number
  sourceBytes: number
}

export type Cut = Chunk | Refusal

export interface ChunkCutterOptions {
  boundaries: Boundaries
  /** Size of a buffer; one that holds a single larger record grows beyond it. */
  chunkBytes: number
  /** A record that does not end within so many bytes is refused. */
  recordBytesMax: number
  /** Gives a buffer of `chunkBytes`, perhaps a used one. */
  allocate(): Uint8Array<ArrayBuffer>
}

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]

/**
 * Cuts a source into chunks that end where a record ends. The caller reads straight into `space()`, says how much by
 * `filled(n)`, and takes what `cut()` gives; only the beginning of a record that is not whole yet is copied, to the
 * front of the next buffer. Holds one buffer, however large the source is.
 *
 * Invariants: boundaryBytes <= lengthBytes <= buffer.length; while isSkipping, lengthBytes = 0 after every call.
 */
export class ChunkCutter {
  readonly #options: ChunkCutterOptions
  readonly #boundaries: Boundaries
  #buffer: Uint8Array<ArrayBuffer>
  #lengthBytes = 0
  /** End of the last whole record in the buffer. */
  #boundaryBytes = 0
  /** Source bytes in no cut yet and no longer in the buffer: a byte order mark, or what is being skipped. */
  #goneBytes = 0
  #isAtStart = true
  #skipped: { line: number; newlines: number } | undefined
  readonly #refusals: Refusal[] = []
  #isOver = false

  constructor(options: ChunkCutterOptions) {
    this.#options = options
    this.#boundaries = options.boundaries
    this.#buffer = options.allocate()
  }

  /** True once nothing more of this source can be taken; `filled` then counts bytes only. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The bytes that the buffer holds, for who wants to see the beginning of a source before its first cut. */
  get held(): Uint8Array {
    return this.#buffer.subarray(0, this.#lengthBytes)
  }

  /** Where the next bytes of the source belong: at least one. */
  space(): Uint8Array<ArrayBuffer> {
    if (this.#lengthBytes === this.#buffer.length) this.#makeSpace()
    return this.#buffer.subarray(this.#lengthBytes)
  }

  filled(bytesRead: number): void {
    assert(bytesRead <= this.#buffer.length - this.#lengthBytes, 'no more is filled than there is space')
    if (this.#isOver) {
      this.#goneBytes += bytesRead
      return
    }
    const from = this.#isAtStart ? 0 : this.#lengthBytes
    this.#lengthBytes += bytesRead
    if (this.#isAtStart && !this.#beginsRight(bytesRead === 0)) return
    this.#look(from)
  }

  /** The next piece, if there is one: with `isHungry` every whole record, else only once the buffer is full. */
  cut(isHungry: boolean): Cut | undefined {
    if (this.#refusals.length > 0) return this.#refusals.shift()
    if (this.#boundaryBytes === 0) return undefined
    const isFull = this.#lengthBytes === this.#buffer.length || this.#boundaries.problem !== undefined
    if (!isFull && !isHungry) return undefined
    const chunk = this.#takeChunk()
    this.#refuseProblem()
    return chunk
  }

  /**
   * The source has ended: the rest, in order. A last record without an end goes with those before it, as it would if it had
   * one: where a record goes must not hang on the byte behind it, which a file may still gain.
   */
  finish(): Cut[] {
    if (this.#isAtStart) this.filled(0)
    let endsWithinLine = false
    if (this.#skipped) {
      this.#endSkip()
    } else if (!this.#isOver && this.#boundaries.finish(this.#buffer, this.#lengthBytes)) {
      this.#boundaryBytes = this.#lengthBytes
      endsWithinLine = this.#buffer[this.#lengthBytes - 1] !== NEWLINE
    } else if (!this.#isOver) {
      this.#boundaryBytes = this.#boundaries.problem?.position ?? this.#lengthBytes
      if (this.#boundaryBytes === 0) this.#refuseProblem()
    }
    const cuts: Cut[] = []
    for (let cut = this.cut(true); cut; cut = this.cut(true)) cuts.push(cut)
    const last = cuts.at(-1)
    if (last?.kind === 'chunk') last.endsWithinLine = endsWithinLine
    this.#isOver = true
    return cuts
  }

  #look(from: number): void {
    let start = from
    if (this.#skipped) {
      const end = this.#boundaries.next(this.#buffer, 0, this.#lengthBytes)
      const goneBytes = end === -1 ? this.#lengthBytes : end
      this.#skipped.newlines += countNewlines(this.#buffer, 0, goneBytes)
      this.#drop(goneBytes)
      if (end === -1) return
      this.#endSkip()
      start = 0
    }
    const end = this.#boundaries.last(this.#buffer, start, this.#lengthBytes)
    if (end !== -1) this.#boundaryBytes = end
    if (this.#boundaryBytes === 0) this.#refuseProblem()
  }

  #takeChunk(): Chunk {
    const { chunkBytes, allocate } = this.#options
    const bytes = this.#buffer
    const length = this.#boundaryBytes
    const rest = bytes.subarray(length, this.#lengthBytes)
    this.#buffer =
      rest.length < chunkBytes ? allocate() : new Uint8Array(Math.max(rest.length + 1, this.#grownBytes(rest.length)))
    this.#buffer.set(rest)
    this.#lengthBytes = rest.length
    this.#boundaryBytes = 0
    this.#boundaries.rebase(length)
    const sourceBytes = length + this.#goneBytes
    this.#goneBytes = 0
    return { kind: 'chunk', bytes, length, spans: this.#boundaries.takeSpans(), sourceBytes, endsWithinLine: false }
  }

  /** The buffer is full of one record that has not ended. */
  #makeSpace(): void {
    assert(this.#boundaryBytes === 0, 'a full buffer is cut before more is read')
    const grownBytes = this.#grownBytes(this.#buffer.length)
    if (grownBytes <= this.#buffer.length) {
      const position = skipSpace(this.#buffer, 0, this.#lengthBytes)
      this.#skipped = {
        line: countNewlines(this.#buffer, 0, position),
        newlines: countNewlines(this.#buffer, 0, this.#lengthBytes),
      }
      this.#drop(this.#lengthBytes)
      return
    }
    const larger = new Uint8Array(grownBytes)
    larger.set(this.#buffer)
    this.#buffer = larger
  }

  #grownBytes(bytes: number): number {
    return Math.min(bytes * 2, this.#options.recordBytesMax + this.#options.chunkBytes)
  }

  #endSkip(): void {
    const { line, newlines } = this.#skipped!
    this.#skipped = undefined
    this.#refuse(`not ended within ${this.#options.recordBytesMax} bytes, the limit of a record`, line, newlines)
  }

  #drop(bytes: number): void {
    this.#buffer.copyWithin(0, bytes, this.#lengthBytes)
    this.#lengthBytes -= bytes
    this.#goneBytes += bytes
    this.#boundaries.rebase(bytes)
  }

  #refuse(reason: string, line: number, newlines: number): void {
    this.#refusals.push({ kind: 'refusal', reason, line, newlines, sourceBytes: this.#goneBytes })
    this.#goneBytes = 0
  }

  /** Called with everything before the problem taken: gives up on the rest of the source. */
  #refuseProblem(problem: InputProblem | undefined = this.#boundaries.problem): void {
    if (!problem || this.#isOver) return
    const newlines = countNewlines(this.#buffer, 0, this.#lengthBytes)
    this.#goneBytes += this.#lengthBytes
    this.#lengthBytes = 0
    this.#isOver = true
    this.#refuse(problem.reason, 0, newlines)
  }

  /** Sees to a byte order mark. False while too little is there to tell. */
  #beginsRight(isEnd: boolean): boolean {
    const bytes = this.#buffer
    if (this.#lengthBytes < BYTE_ORDER_MARK.length && !isEnd) return false
    this.#isAtStart = false
    if (this.#lengthBytes >= 3 && BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte)) {
      bytes.copyWithin(0, BYTE_ORDER_MARK.length, this.#lengthBytes)
      this.#lengthBytes -= BYTE_ORDER_MARK.length
      this.#goneBytes += BYTE_ORDER_MARK.length
    } else if (this.#lengthBytes >= 2 && bytes[0] + bytes[1] === 0x1fd && bytes[0] >= 0xfe) {
      this.#refuseProblem({ position: 0, reason: 'the text is UTF-16; Walrus reads UTF-8: convert it first' })
      return false
    }
    const problem = compressionProblem(bytes.subarray(0, this.#lengthBytes))
    if (problem === undefined) return true
    this.#refuseProblem({ position: 0, reason: problem })
    return false
  }
}
