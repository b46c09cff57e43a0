import type { Format } from '../format.js'

/** A record as it is sent. Parsers give the same object each time: it holds until the next is asked for. */
export interface ParsedRecord {
  /** In the encoding of the topic's codec. */
  value: Uint8Array
  key: string | undefined
  /** Where it begins in the chunk. */
  position: number
}

/** A chunk, and what a parser has to know of its source. */
export interface ParserInput {
  format: Format
  bytes: Uint8Array<ArrayBuffer>
  length: number
  /** Of JSON: starts and ends of the values, in pairs. */
  spans: Uint32Array<ArrayBuffer> | undefined
  /** Of CSV: where the rows begin (a header may stand before), the names in the header, and what separates fields. */
  rowsStart: number
  columns: readonly string[]
  delimiter: string
  /** Name of the field that is the key. */
  keyField: string | undefined
}
