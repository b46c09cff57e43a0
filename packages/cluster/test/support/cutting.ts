import { boundariesOf } from '#cluster/ingest/feed/boundaries-of.js'
import { ChunkCutter, type Cut } from '#cluster/ingest/feed/chunk-cutter.js'
import type { Format } from '#cluster/ingest/format.js'
import { ChunkText } from '#cluster/ingest/parse/chunk-text.js'
import { readHeader } from '#cluster/ingest/parse/csv-parser.js'
import { parseChunk } from '#cluster/ingest/parse/parse-chunk.js'
import { ChunkRejects } from '#cluster/ingest/parse/rejects.js'
import { type Reject, Tally } from '#cluster/ingest/tally.js'

export interface CutOptions {
  format: Format
  /** Sizes of the reads that the source gives, the last one again and again. */
  reads?: number[]
  chunkBytes?: number
  recordBytesMax?: number
  /** Whether whole records are handed on at once. */
  isHungry?: boolean
  keyField?: string
}

export interface CutOutcome {
  values: string[]
  keys: (string | undefined)[]
  rejects: Pick<Reject, 'line' | 'reason'>[]
  /** As the tally counts them. */
  position: { line: number; byte: number }
  chunksCount: number
}

/** Cuts and parses a source in one thread, the way the feeding thread and the producers do together. */
export function cutAndParse(source: Uint8Array | string, options: CutOptions): CutOutcome {
  const { format, reads = [source.length], chunkBytes = 16, recordBytesMax = 1 << 20, isHungry = false } = options
  const bytes = Buffer.from(source as Uint8Array)
  const delimiter = ','
  const cutter = new ChunkCutter({
    boundaries: boundariesOf(format, delimiter),
    chunkBytes,
    recordBytesMax,
    allocate: () => new Uint8Array(chunkBytes),
  })
  const tally = new Tally(() => {})
  const outcome: CutOutcome = { values: [], keys: [], rejects: [], position: { line: 0, byte: 0 }, chunksCount: 0 }
  let columns: string[] | undefined

  const take = (cut: Cut) => {
    const content = { records: 0, bytes: 0, sum: 0 }
    const result = { file: '', fileIndex: 0, sourceBytes: cut.sourceBytes, content, there: content }
    if (cut.kind === 'refusal') {
      const { line, reason, newlines } = cut
      tally.add({ ...result, lines: newlines, rejectsCount: 1, rejects: [{ line, reason }] })
      return
    }
    outcome.chunksCount++
    let rowsStart = 0
    if (format === 'csv' && !columns) {
      const header = readHeader(new ChunkText(cut.bytes, cut.length), delimiter, options.keyField)
      if (!header || 'reason' in header) throw new Error(header?.reason ?? 'no header')
      columns = header.columns
      rowsStart = header.rowsStart
    }
    const rejects = new ChunkRejects()
    const { keyField } = options
    const { bytes, length, spans } = cut
    const input = { format, bytes, length, spans, rowsStart, columns: columns ?? [], delimiter, keyField }
    for (const { value, key } of parseChunk(input, rejects)) {
      outcome.values.push(Buffer.from(value).toString())
      outcome.keys.push(key)
    }
    const newlines = Buffer.from(bytes.buffer, 0, length).filter((byte) => byte === 10).length
    const lines = newlines + (cut.endsWithinLine ? 1 : 0)
    tally.add({ ...result, lines, rejectsCount: rejects.count, rejects: rejects.described })
  }

  let read = 0
  for (let at = 0; at < bytes.length && !cutter.isOver; ) {
    const space = cutter.space()
    const size = Math.min(reads[Math.min(read++, reads.length - 1)], space.length, bytes.length - at)
    space.set(bytes.subarray(at, at + size))
    at += size
    cutter.filled(size)
    for (let cut = cutter.cut(isHungry); cut; cut = cutter.cut(isHungry)) take(cut)
  }
  for (const cut of cutter.finish()) take(cut)
  outcome.rejects = tally.rejects.map(({ line, reason }) => ({ line, reason }))
  if (tally.position) outcome.position = { line: tally.position.line, byte: tally.position.byte }
  return outcome
}
