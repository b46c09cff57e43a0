import { type Boundaries, type InputProblem, NEWLINE, skipSpace } from './boundaries.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const BRACKET_OPEN = 0x5b
const BRACKET_CLOSE = 0x5d
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d

/** Before the first byte that is no white space. */
const START = 0
/** Within the outermost array, whose elements are the records. */
const IN_ARRAY = 1
/** Behind the outermost array: white space only may follow. */
const AFTER_ARRAY = 2
/** No array at the top: between values, within an object, within anything else (which ends with its line). */
const BETWEEN = 3
const IN_OBJECT = 4
const IN_LINE = 5

const SPANS_LENGTH_MIN = 1024

/**
 * Records of a JSON file: the elements of the array that it is, or the values that stand in it one after another.
 *
 * This only counts brackets and quotes, to find where values end; whether a value is JSON is for JSON.parse to say, on
 * as many threads as there are producers. A bad value therefore costs itself only, unless its brackets do not match.
 */
export class JsonBoundaries implements Boundaries {
  problem: InputProblem | undefined
  #phase = START
  #depth = 0
  #isInString = false
  #isEscaped = false
  /** Where the value begins that is being looked at; below 0 once its beginning has been taken away. */
  #valueStart = 0
  /** The value before the last boundary; none (an empty array has a boundary, too) if `start` is -1. */
  #found = { start: 0, end: 0 }
  #elementsCount = 0
  #spans = new Uint32Array(SPANS_LENGTH_MIN)
  #spansLength = 0

  next(bytes: Uint8Array, from: number, to: number): number {
    let position = from
    if (this.#phase === START) {
      position = skipSpace(bytes, position, to)
      if (position === to) return -1
      if (bytes[position] === BRACKET_OPEN) {
        position++
        this.#phase = IN_ARRAY
        this.#depth = 1
        this.#valueStart = position
      } else {
        this.#phase = BETWEEN
      }
    }
    if (this.#phase === BETWEEN) {
      position = skipSpace(bytes, position, to)
      if (position === to) return -1
      this.#valueStart = position
      this.#phase = bytes[position] === BRACE_OPEN ? IN_OBJECT : IN_LINE
      this.#depth = 0
    }
    if (this.#phase === IN_ARRAY) return this.#nextElement(bytes, position, to)
    if (this.#phase === IN_OBJECT) return this.#nextObject(bytes, position, to)
    if (this.#phase === IN_LINE) return this.#nextLine(bytes, position, to)
    return -1
  }

  last(bytes: Uint8Array, from: number, to: number): number {
    let found = -1
    let position = this.next(bytes, from, to)
    while (position !== -1) {
      if (this.#found.start !== -1) this.#addSpan(this.#found.start, this.#found.end)
      found = position
      position = this.next(bytes, position, to)
    }
    if (this.#phase === AFTER_ARRAY) return this.#checkTail(bytes, found === -1 ? from : found, to)
    // White space between values belongs to nobody: it goes with the chunk, so that it can be of any length.
    return this.#phase === START || this.#phase === BETWEEN ? to : found
  }

  rebase(positionBytes: number): void {
    this.#valueStart -= positionBytes
  }

  finish(bytes: Uint8Array, to: number): boolean {
    if (this.#phase === IN_ARRAY) {
      const position = skipSpace(bytes, this.#valueStart, to)
      this.problem = { position, reason: 'the input ends within the JSON array, here or before' }
      return false
    }
    if (this.#phase !== IN_OBJECT && this.#phase !== IN_LINE) return false
    this.#addSpan(this.#valueStart, to)
    return true
  }

  takeSpans(): Uint32Array<ArrayBuffer> {
    const spans = this.#spans.slice(0, this.#spansLength)
    this.#spansLength = 0
    return spans
  }

  #nextElement(bytes: Uint8Array, from: number, to: number): number {
    let depth = this.#depth
    let isInString = this.#isInString
    let isEscaped = this.#isEscaped
    for (let position = from; position < to; position++) {
      const byte = bytes[position]
      if (isInString) {
        if (isEscaped) isEscaped = false
        else if (byte === BACKSLASH) isEscaped = true
        // A string cannot hold a raw newline: one that was not closed ends here, and spoils its own value only.
        else if (byte === QUOTE || byte === NEWLINE) isInString = false
      } else if (byte === QUOTE) {
        isInString = true
      } else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) {
        depth++
      } else if (byte === BRACE_CLOSE) {
        if (depth > 1) depth--
      } else if (byte === BRACKET_CLOSE && depth > 1) {
        depth--
      } else if ((byte === COMMA && depth === 1) || byte === BRACKET_CLOSE) {
        this.#depth = 1
        this.#isInString = false
        this.#isEscaped = false
        this.#found.start = this.#valueStart
        this.#found.end = position
        this.#valueStart = position + 1
        if (byte === BRACKET_CLOSE) this.#endArray(bytes)
        this.#elementsCount++
        return position + 1
      }
    }
    this.#depth = depth
    this.#isInString = isInString
    this.#isEscaped = isEscaped
    return -1
  }

  #endArray(bytes: Uint8Array): void {
    this.#phase = AFTER_ARRAY
    const { start, end } = this.#found
    if (this.#elementsCount === 0 && start >= 0 && skipSpace(bytes, start, end) === end) this.#found.start = -1
  }

  #nextObject(bytes: Uint8Array, from: number, to: number): number {
    for (let position = from; position < to; position++) {
      const byte = bytes[position]
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === BACKSLASH) this.#isEscaped = true
        else if (byte === QUOTE || byte === NEWLINE) this.#isInString = false
      } else if (byte === QUOTE) {
        this.#isInString = true
      } else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) {
        this.#depth++
      } else if (byte === BRACE_CLOSE || byte === BRACKET_CLOSE) {
        this.#depth--
        if (this.#depth === 0) return this.#endValue(position + 1, position + 1)
      }
    }
    return -1
  }

  #nextLine(bytes: Uint8Array, from: number, to: number): number {
    const position = bytes.indexOf(NEWLINE, from)
    return position === -1 || position >= to ? -1 : this.#endValue(position, position + 1)
  }

  #endValue(valueEnd: number, boundary: number): number {
    this.#phase = BETWEEN
    this.#found.start = this.#valueStart
    this.#found.end = valueEnd
    return boundary
  }

  #checkTail(bytes: Uint8Array, from: number, to: number): number {
    const position = skipSpace(bytes, from, to)
    if (position < to) {
      this.problem ??= {
        position,
        reason: 'text behind the end of the JSON array; one value a line is --format ndjson',
      }
    }
    return position
  }

  #addSpan(start: number, end: number): void {
    if (this.#spansLength === this.#spans.length) {
      const larger = new Uint32Array(this.#spans.length * 2)
      larger.set(this.#spans)
      this.#spans = larger
    }
    this.#spans[this.#spansLength++] = start
    this.#spans[this.#spansLength++] = end
  }
}
