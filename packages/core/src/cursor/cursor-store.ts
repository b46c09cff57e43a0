import path from 'node:path'
import { batchBaseOffset, batchLength, batchRecordCount } from '../format/batch.js'
import { BATCH_HEADER_BYTES } from '../format/layout.js'
import { emptyRecordParts, readRecord } from '../format/record.js'
import { Region } from '../format/region.js'
import { READ_CHUNK_BYTES } from '../limits.js'
import { indexFileName, segmentBases, segmentFileName } from '../segment/segment-name.js'
import { SegmentReader } from '../segment/segment-reader.js'
import type { FileSystem } from '../storage/file-system.js'
import { type CursorEntry, type CursorTable, decodeCursor } from './cursor.js'

/*
 * The cursor log is a partition like any other, whose records are cursors. It is kept short in three steps, any of which
 * may be the last one before a crash:
 *
 *   1. S = the acknowledged end; the table is brought up to S
 *   2. every live cursor is appended again as a copy, and these are synced
 *   3. segments that end at or below S are removed, the oldest first
 *
 * After 2, all that the log says below S is said again above it; commits at or above S stay. Copies of an interrupted 2
 * say nothing new.
 */

/**
 * Brings `table` up to what the cursor log in `directory` says below `end`, from `from` on (undefined: from its start).
 * `end` is acknowledged. Throws `SEGMENT_CORRUPT`.
 */
export function readCursorLog(
  fs: FileSystem,
  directory: string,
  range: { from: number | undefined; end: number },
  table: CursorTable,
): void {
  const from = range.from ?? segmentBases(fs.list(directory))[0] ?? range.end
  if (from >= range.end) return
  const reader = new SegmentReader(fs, directory)
  try {
    let region = Region.allocate(READ_CHUNK_BYTES)
    let at = reader.locate(from)
    while (at.offset < range.end) {
      const filled = reader.fill(at, region, range.end, true)
      if (filled.bytesNeeded !== undefined) region = Region.allocate(filled.bytesNeeded)
      for (let batch = 0; batch < filled.bytes; batch += batchLength(region, batch))
        takeBatch(region, batch, from, table)
      at = filled.next
    }
  } finally {
    reader.close()
  }
}

function takeBatch(region: Region, batch: number, from: number, table: CursorTable): void {
  const parts = emptyRecordParts()
  const end = batch + batchLength(region, batch)
  const baseOffset = batchBaseOffset(region, batch)
  let at = batch + BATCH_HEADER_BYTES
  for (let index = 0; index < batchRecordCount(region, batch); index++) {
    const offset = baseOffset + index
    const isWhole = readRecord(region, at, end, parts)
    const value = isWhole && parts.valueLength >= 0 ? bytesOf(region, parts.valueAt, parts.valueLength) : null
    if (offset >= from) table.maybeTake(decodeCursor(value, offset))
    at = parts.next
  }
}

function bytesOf(region: Region, at: number, length: number): Uint8Array {
  return region.u8.subarray(at, at + length)
}

/** Copies of all live cursors, to be appended in step 2. */
export function cursorCopies(table: CursorTable): CursorEntry[] {
  return [...table.entries()]
}

/**
 * Step 3. Only sealed segments go, and the one that takes writes never does. Each goes durably before the next, or
 * a loss of power could leave a hole between segments, which recovery takes for damage. Returns how many were removed.
 */
export function trimCursorLog(fs: FileSystem, directory: string, before: number): number {
  const names = new Set(fs.list(directory))
  const bases = segmentBases([...names])
  let removed = 0
  for (let place = 0; place + 1 < bases.length && bases[place + 1] <= before; place++) {
    // Not sealed yet: the sync thread has it in hand, and the next trim takes it.
    if (!names.has(indexFileName(bases[place]))) break
    // Whichever of the two is left: an index below the first segment is what recovery knows as the rest of a trim, and a
    // segment without its index is read and sealed anew.
    fs.remove(path.join(directory, segmentFileName(bases[place])))
    fs.remove(path.join(directory, indexFileName(bases[place])))
    fs.syncDirectory(directory)
    removed++
  }
  return removed
}
