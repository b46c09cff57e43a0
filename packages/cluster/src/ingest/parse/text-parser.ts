import { CARRIAGE_RETURN, isSpace, NEWLINE, skipSpace } from '../feed/boundaries.js'
import type { ChunkText } from './chunk-text.js'
import { keyOf } from './key.js'
import type { ParsedRecord } from './parsed-record.js'
import type { ChunkRejects } from './rejects.js'

const NOT_UTF8 = 'not valid UTF-8'

/** One value a line. White space around it is not stored; a blank line is nothing. */
export function* parseJsonLines(
  text: ChunkText,
  keyField: string | undefined,
  rejects: ChunkRejects,
): Generator<ParsedRecord> {
  const record: ParsedRecord = { value: text.bytes, key: undefined, position: 0 }
  for (let start = 0, next = 0; start < text.bytes.length; start = next) {
    const newline = text.bytes.indexOf(NEWLINE, start)
    next = newline === -1 ? text.bytes.length : newline + 1
    if (setJson(record, text, start, next, keyField, rejects, false)) yield record
  }
}

/** One value a span. A blank span is a value that is missing. */
export function* parseJsonSpans(
  text: ChunkText,
  spans: Uint32Array,
  keyField: string | undefined,
  rejects: ChunkRejects,
): Generator<ParsedRecord> {
  const record: ParsedRecord = { value: text.bytes, key: undefined, position: 0 }
  for (let index = 0; index < spans.length; index += 2) {
    if (setJson(record, text, spans[index], spans[index + 1], keyField, rejects, true)) yield record
  }
}

/** One text a line, stored as it is but for the line's end. */
export function* parseLines(text: ChunkText, rejects: ChunkRejects): Generator<ParsedRecord> {
  const { bytes } = text
  const record: ParsedRecord = { value: bytes, key: undefined, position: 0 }
  for (let start = 0, next = 0; start < bytes.length; start = next) {
    const newline = bytes.indexOf(NEWLINE, start)
    next = newline === -1 ? bytes.length : newline + 1
    let end = newline === -1 ? bytes.length : newline
    if (end > start && bytes[end - 1] === CARRIAGE_RETURN) end--
    if (end === start) continue
    if (!text.isValid(start, end)) {
      rejects.add(bytes, start, NOT_UTF8)
      continue
    }
    record.value = view(bytes, start, end)
    record.position = start
    yield record
  }
}

/** Part of a chunk; half the price of a Buffer's own `subarray`. */
function view(bytes: Buffer, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)
}

/** Sets `record` from the value in `[from, to)`; false if there is none or a bad one. */
function setJson(
  record: ParsedRecord,
  text: ChunkText,
  from: number,
  to: number,
  keyField: string | undefined,
  rejects: ChunkRejects,
  isRequired: boolean,
): boolean {
  const { bytes } = text
  const start = skipSpace(bytes, from, to)
  let end = to
  while (end > start && isSpace(bytes[end - 1])) end--
  if (start === end) {
    if (isRequired) rejects.add(bytes, start, 'a value is missing before this comma or bracket')
    return false
  }
  if (!text.isValid(start, end)) {
    rejects.add(bytes, start, NOT_UTF8)
    return false
  }
  let value: unknown
  try {
    value = JSON.parse(text.text(start, end))
  } catch (error) {
    rejects.add(bytes, start, `not JSON: ${(error as Error).message}`)
    return false
  }
  if (keyField !== undefined) {
    const { key, reason } = keyOf(value, keyField)
    if (reason !== undefined) {
      rejects.add(bytes, start, reason)
      return false
    }
    record.key = key
  }
  record.value = view(bytes, start, end)
  record.position = start
  return true
}
