import { type Boundaries, CARRIAGE_RETURN, NEWLINE } from './boundaries.js'

const QUOTE = 0x22

const AT_FIELD_START = 0
const IN_FIELD = 1
const IN_QUOTES = 2
/** A quote inside quotes: the end of them, or the first half of a doubled quote. */
const AFTER_QUOTE = 3

/**
 * Rows of a CSV file: a newline ends one unless it stands in a quoted field. A quote opens only at the beginning of a
 * field, and whatever follows a closing one closes it, so that a stray quote spoils its own row and not the rest of the
 * file.
 */
export class CsvBoundaries implements Boundaries {
  readonly problem = undefined
  readonly #delimiter: number
  #state = AT_FIELD_START

  /** `delimiter` is one ASCII character. */
  constructor(delimiter: string) {
    this.#delimiter = delimiter.charCodeAt(0)
  }

  next(bytes: Uint8Array, from: number, to: number): number {
    const delimiter = this.#delimiter
    let state = this.#state
    for (let position = from; position < to; position++) {
      const byte = bytes[position]
      if (state === IN_QUOTES) {
        if (byte === QUOTE) state = AFTER_QUOTE
      } else if (byte === NEWLINE) {
        this.#state = AT_FIELD_START
        return position + 1
      } else if (byte === delimiter) {
        state = AT_FIELD_START
      } else if (byte === QUOTE) {
        if (state !== IN_FIELD) state = IN_QUOTES
      } else if (byte !== CARRIAGE_RETURN) {
        state = IN_FIELD
      }
    }
    this.#state = state
    return -1
  }

  last(bytes: Uint8Array, from: number, to: number): number {
    let found = -1
    let position = this.next(bytes, from, to)
    while (position !== -1) {
      found = position
      position = this.next(bytes, position, to)
    }
    return found
  }

  rebase(): void {}

  finish(_bytes: Uint8Array, to: number): boolean {
    return to > 0
  }

  takeSpans(): undefined {
    return undefined
  }
}
