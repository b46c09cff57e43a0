import { type Boundaries, NEWLINE } from './boundaries.js'

/** One record a line. Without a state: a newline ends a line wherever it stands. */
export class NewlineBoundaries implements Boundaries {
  readonly problem = undefined

  next(bytes: Uint8Array, from: number, to: number): number {
    const position = bytes.indexOf(NEWLINE, from)
    return position === -1 || position >= to ? -1 : position + 1
  }

  last(bytes: Uint8Array, from: number, to: number): number {
    if (to === from) return -1
    const position = bytes.lastIndexOf(NEWLINE, to - 1)
    return position < from ? -1 : position + 1
  }

  rebase(): void {}

  finish(_bytes: Uint8Array, to: number): boolean {
    return to > 0
  }

  takeSpans(): undefined {
    return undefined
  }
}
