/** Something wrong with the input as a whole: nothing behind `position` can be taken. */
export interface InputProblem {
  position: number
  reason: string
}

/**
 * Finds where records end in bytes that arrive piece by piece. The state is kept between calls, so that every byte is
 * looked at once: a call's `from` is where the call before ended, in the same bytes or in bytes moved by `rebase`.
 */
export interface Boundaries {
  /** Position behind the first record that ends in `bytes[from, to)`, or -1. */
  next(bytes: Uint8Array, from: number, to: number): number
  /** Position behind the last record that ends in `bytes[from, to)`, or -1. What it finds is kept for `takeSpans`. */
  last(bytes: Uint8Array, from: number, to: number): number
  /** The bytes before `positionBytes` have been taken away; what was there is now at 0. */
  rebase(positionBytes: number): void
  /** The input ends at `to`, behind the last boundary: whether what is left there is a record still. */
  finish(bytes: Uint8Array, to: number): boolean
  /** Starts and ends of the records found since the last call, in pairs, where separators do not tell them alone. */
  takeSpans(): Uint32Array<ArrayBuffer> | undefined
  /** Set when the input as a whole turned out to be broken. */
  readonly problem: InputProblem | undefined
}

export const NEWLINE = 0x0a
export const CARRIAGE_RETURN = 0x0d
export const SPACE = 0x20
export const TAB = 0x09

export function isSpace(byte: number): boolean {
  return byte === SPACE || byte === NEWLINE || byte === CARRIAGE_RETURN || byte === TAB
}

/** Position of the first byte in `[from, to)` that is no white space, or `to`. */
export function skipSpace(bytes: Uint8Array, from: number, to: number): number {
  let position = from
  while (position < to && isSpace(bytes[position])) position++
  return position
}

export function countNewlines(bytes: Uint8Array, from: number, to: number): number {
  let count = 0
  let position = bytes.indexOf(NEWLINE, from)
  while (position !== -1 && position < to) {
    count++
    position = bytes.indexOf(NEWLINE, position + 1)
  }
  return count
}
