import { extname } from 'node:path'
import { isSpace, NEWLINE, skipSpace } from './feed/boundaries.js'

export const FORMATS = ['ndjson', 'json', 'csv', 'lines'] as const
export type Format = (typeof FORMATS)[number]

const formatByExtension: Record<string, Format> = {
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.ldjson': 'ndjson',
  '.json': 'json',
  '.geojson': 'json',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'lines',
  '.log': 'lines',
}

/** What the name says; undefined where it says nothing. */
export function formatOfName(name: string): Format | undefined {
  return formatByExtension[extname(name).toLowerCase()]
}

export function delimiterOfName(name: string): string {
  return extname(name).toLowerCase() === '.tsv' ? '\t' : ','
}

/** The codec of the topic that records of a format go to. */
export function codecOf(format: Format): 'json' | 'utf8' {
  return format === 'lines' ? 'utf8' : 'json'
}

const BRACKET_OPEN = 0x5b
const BRACE_OPEN = 0x7b
const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/** So much of a source's beginning is looked at. */
export const CONTENT_BYTES_MAX = 64 * 1024

/**
 * What the beginning of a source without a telling name looks like; undefined if more of it has to be seen. `isLast`: no
 * more than `bytes` will be shown. CSV cannot be told from plain lines, so it is never the answer.
 */
export function formatOfContent(bytes: Uint8Array, isLast: boolean): Format | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const from = skipSpace(text, text.indexOf(BYTE_ORDER_MARK) === 0 ? BYTE_ORDER_MARK.length : 0, text.length)
  if (from === text.length) return isLast ? 'ndjson' : undefined
  const isArray = text[from] === BRACKET_OPEN
  if (!isArray && text[from] !== BRACE_OPEN) return 'lines'
  const lineEnd = text.indexOf(NEWLINE, from)
  if (lineEnd === -1) {
    if (!isLast) return undefined
    // One line, or the long beginning of one: an array of that kind holds the records, an object is one of them.
    return isArray ? 'json' : 'ndjson'
  }
  if (!isJson(text, from, lineEnd)) return 'json'
  if (!isArray || !text.subarray(lineEnd).every(isSpace)) return 'ndjson'
  return isLast ? 'json' : undefined
}

function isJson(text: Buffer, from: number, to: number): boolean {
  try {
    JSON.parse(text.toString('utf8', from, to))
    return true
  } catch {
    return false
  }
}
