import { addContent, type ContentCheck, emptyContent } from './checksum.js'
import { type ChunkReject, REJECTS_DESCRIBED_MAX } from './parse/rejects.js'

/** A record of the source that was not taken. */
export interface Reject {
  file: string
  /** Counted from 1. */
  line: number
  reason: string
}

/** How far a run came: everything before this was read, and is acknowledged or rejected. */
export interface Position {
  file: string
  /** Lines that end before it; at the end of the file also one that no newline ends. */
  line: number
  /** Bytes that lie before it. */
  byte: number
}

/** What became of one cut of a source. */
export interface CutResult {
  file: string
  fileIndex: number
  /** That end in it. */
  lines: number
  sourceBytes: number
  content: ContentCheck
  /** What of it an earlier run has sent. */
  there: ContentCheck
  rejectsCount: number
  /** Lines counted from 0 at the beginning of the cut. */
  rejects: ChunkReject[]
}

/** Sums up a run. Results are added in the order of the source, so that lines can be counted. */
export class Tally {
  readonly content = emptyContent()
  readonly there = emptyContent()
  readonly rejects: Reject[] = []
  rejectsCount = 0
  bytesRead = 0
  position: Position | null = null
  readonly #onReject: (reject: Reject) => void
  #fileIndex = -1

  /** `onReject` is told of the rejects that are described, as they are found. */
  constructor(onReject: (reject: Reject) => void) {
    this.#onReject = onReject
  }

  add(result: CutResult): void {
    const { file, fileIndex, lines, sourceBytes } = result
    if (fileIndex !== this.#fileIndex || !this.position) {
      this.position = { file, line: 0, byte: 0 }
      this.#fileIndex = fileIndex
    }
    for (const { line, reason } of result.rejects) {
      if (this.rejects.length === REJECTS_DESCRIBED_MAX) break
      const reject = { file, line: this.position.line + line + 1, reason }
      this.rejects.push(reject)
      this.#onReject(reject)
    }
    this.rejectsCount += result.rejectsCount
    addContent(this.content, result.content)
    addContent(this.there, result.there)
    this.bytesRead += sourceBytes
    this.position.line += lines
    this.position.byte += sourceBytes
  }
}
