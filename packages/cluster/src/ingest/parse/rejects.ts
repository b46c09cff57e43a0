import { countNewlines } from '../feed/boundaries.js'

/** One record that was not taken; `line` is counted from 0 at the beginning of its chunk. */
export interface ChunkReject {
  line: number
  reason: string
}

/** No more are described than anybody reads; the rest is counted. */
export const REJECTS_DESCRIBED_MAX = 20

const REASON_LENGTH_MAX = 200

/** What could not be taken of a chunk. */
export class ChunkRejects {
  count = 0
  readonly described: ChunkReject[] = []
  /** Where the first one begins in the chunk. */
  firstPosition: number | undefined

  /** `position` is where the record begins in the chunk's `bytes`. */
  add(bytes: Uint8Array, position: number, reason: string): void {
    this.firstPosition ??= position
    this.addLine(() => countNewlines(bytes, 0, position), reason)
  }

  addLine(line: () => number, reason: string): void {
    this.count++
    if (this.described.length < REJECTS_DESCRIBED_MAX) this.described.push({ line: line(), reason: oneLine(reason) })
  }
}

/** Reasons quote what they are about, and that may hold anything, escape sequences for a terminal included. */
export function oneLine(text: string): string {
  const clean = text.replace(/\p{Cc}/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return clean.length <= REASON_LENGTH_MAX ? clean : `${clean.slice(0, REASON_LENGTH_MAX - 1)}…`
}
