import { ChunkText } from './chunk-text.js'
import { parseCsv } from './csv-parser.js'
import type { ParsedRecord, ParserInput } from './parsed-record.js'
import type { ChunkRejects } from './rejects.js'
import { parseJsonLines, parseJsonSpans, parseLines } from './text-parser.js'

/** The good records of a chunk, in order; what is not good goes to `rejects`. */
export function parseChunk(input: ParserInput, rejects: ChunkRejects): Generator<ParsedRecord> {
  const text = new ChunkText(input.bytes, input.length)
  switch (input.format) {
    case 'lines':
      return parseLines(text, rejects)
    case 'ndjson':
      return parseJsonLines(text, input.keyField, rejects)
    case 'json':
      return parseJsonSpans(text, input.spans!, input.keyField, rejects)
    case 'csv':
      return parseCsv(text, input, rejects)
  }
}
