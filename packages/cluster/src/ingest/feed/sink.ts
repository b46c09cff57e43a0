import type { ParserInput } from '../parse/parsed-record.js'
import type { Cut } from './chunk-cutter.js'

/** Large enough that a message between threads costs little (some 30 µs) beside parsing it (some ms), small enough that
 *  a file of a few MB keeps every producer busy. */
export const CHUNK_BYTES = 256 * 1024

/** A cut, and what its source says of it. */
export interface Submission {
  cut: Cut
  file: string
  fileIndex: number
  /** Of CSV; see `ParserInput`. */
  rowsStart: number
  columns: readonly string[]
  delimiter: string
  format: ParserInput['format']
}

/** Where cuts go. */
export interface Sink {
  /** Nothing more is taken. */
  readonly isStopped: boolean
  /** Somebody has nothing to do. */
  readonly isHungry: boolean
  /** Resolves when one of these may have changed. */
  changed(): Promise<void>
  allocate(): Uint8Array<ArrayBuffer>
  submit(submission: Submission): Promise<void>
}
