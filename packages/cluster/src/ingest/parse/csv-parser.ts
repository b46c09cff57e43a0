import { CsvError } from 'csv-parse'
import { parse } from 'csv-parse/sync'
import { CARRIAGE_RETURN, countNewlines, NEWLINE } from '../feed/boundaries.js'
import { CsvBoundaries } from '../feed/csv-boundaries.js'
import type { ChunkText } from './chunk-text.js'
import { keyOf } from './key.js'
import type { ParsedRecord, ParserInput } from './parsed-record.js'
import type { ChunkRejects } from './rejects.js'

const RECORD_DELIMITERS = ['\r\n', '\n']

/** Starts and ends of the rows in `[from, bytes.length)`, in pairs; blank lines are no rows. */
export function rowSpans(bytes: Uint8Array, from: number, delimiter: string): number[] {
  const boundaries = new CsvBoundaries(delimiter)
  const spans: number[] = []
  for (let start = from; start < bytes.length; ) {
    const boundary = boundaries.next(bytes, start, bytes.length)
    const end = boundary === -1 ? bytes.length : boundary
    const first = bytes[start]
    const isBlank = first === NEWLINE || (first === CARRIAGE_RETURN && bytes[start + 1] === NEWLINE)
    if (!isBlank) spans.push(start, end)
    start = end
  }
  return spans
}

export type Header = { columns: string[]; rowsStart: number } | { line: number; reason: string }

/** The names in the first row, or what is wrong with them; undefined if there are blank lines only. */
export function readHeader(text: ChunkText, delimiter: string, keyField: string | undefined): Header | undefined {
  const [start, end] = rowSpans(text.bytes, 0, delimiter)
  if (start === undefined) return undefined
  const refused = (reason: string): Header => {
    const line = countNewlines(text.bytes, 0, start)
    return { line, reason: `the header cannot be used, nothing of the file is taken: ${reason}` }
  }
  if (!text.isValid(start, end)) return refused('not valid UTF-8')
  let columns: string[]
  try {
    const rows = parse(text.bytes.subarray(start, end), { delimiter, record_delimiter: RECORD_DELIMITERS })
    columns = (rows as unknown as string[][])[0]
  } catch (error) {
    return refused(reasonOf(error, 0))
  }
  const twice = columns.find((name, index) => columns.indexOf(name) !== index)
  if (twice !== undefined) return refused(`two columns are named ${JSON.stringify(twice)}`)
  if (keyField !== undefined && !columns.includes(keyField)) {
    return refused(`no column ${JSON.stringify(keyField)}, which --key names`)
  }
  return { columns, rowsStart: end }
}

/** One object a row, its fields the header's, their values text. */
export function* parseCsv(text: ChunkText, input: ParserInput, rejects: ChunkRejects): Generator<ParsedRecord> {
  const { delimiter, keyField } = input
  const columns = [...input.columns]
  const options = { delimiter, columns, record_delimiter: RECORD_DELIMITERS, skip_empty_lines: true }
  const spans = rowSpans(text.bytes, input.rowsStart, delimiter)
  const record: ParsedRecord = { value: text.bytes, key: undefined, position: 0 }

  // Many rows in one call, since a call costs as much as dozens of them. A bad row fails the call, so halves are tried
  // until it stands alone; the good rows beside it lose nothing.
  function* parseRows(from: number, to: number): Generator<ParsedRecord> {
    if (from === to) return
    const start = spans[from * 2]
    let rows: Record<string, unknown>[]
    try {
      rows = parseSpan(start, spans[to * 2 - 1], to - from)
    } catch (error) {
      if (to - from === 1) {
        rejects.add(text.bytes, start, reasonOf(error, columns.length))
        return
      }
      const middle = (from + to) >>> 1
      yield* parseRows(from, middle)
      yield* parseRows(middle, to)
      return
    }
    for (let index = 0; index < rows.length; index++) {
      if (setRow(rows[index], spans[(from + index) * 2])) yield record
    }
  }

  function parseSpan(start: number, end: number, count: number): Record<string, unknown>[] {
    if (!text.isValid(start, end)) throw new Error('not valid UTF-8')
    const rows = parse(text.bytes.subarray(start, end), options) as Record<string, unknown>[]
    if (rows.length !== count) throw new Error('not one row')
    return rows
  }

  function setRow(row: Record<string, unknown>, position: number): boolean {
    if (keyField !== undefined) {
      const { key, reason } = keyOf(row, keyField)
      if (reason !== undefined) {
        rejects.add(text.bytes, position, reason)
        return false
      }
      record.key = key
    }
    record.value = Buffer.from(JSON.stringify(row))
    record.position = position
    return true
  }

  yield* parseRows(0, spans.length / 2)
}

function reasonOf(error: unknown, columnsCount: number): string {
  if (!(error instanceof CsvError)) return (error as Error).message
  switch (error.code) {
    case 'CSV_RECORD_INCONSISTENT_COLUMNS': {
      const count = (error as unknown as { record: unknown[] }).record.length
      return `${count} ${count === 1 ? 'column' : 'columns'}, the header has ${columnsCount}`
    }
    case 'CSV_QUOTE_NOT_CLOSED':
      return 'a quoted field is not closed'
    case 'CSV_INVALID_CLOSING_QUOTE':
      return 'text behind the closing quote of a field'
    case 'INVALID_OPENING_QUOTE':
      return 'a quote within a field that is not quoted'
    default:
      return error.message
  }
}
