import { batchBaseOffset, batchLength } from '#core/format/batch.js'
import { decodeRecords } from '#core/format/record.js'
import { Region } from '#core/format/region.js'
import { SegmentReader } from '#core/segment/segment-reader.js'
import type { FileSystem } from '#core/storage/file-system.js'
import type { ModelRecord } from './model.js'

export interface FoundRecord extends ModelRecord {
  offset: number
}

export interface Range {
  from: number
  to: number
}

/** Reads as readers do, checks that nothing overlaps and no hole goes untold, and gives what is not below `from`. */
export function readPartition(
  fs: FileSystem,
  directory: string,
  range: { from: number; to: number; timestampMs?: number },
  skip = false,
): { records: FoundRecord[]; gaps: Range[] } {
  const records: FoundRecord[] = []
  const gaps: Range[] = []
  if (range.from >= range.to) return { records, gaps }
  const reader = new SegmentReader(fs, directory, { skip })
  const bytes = new TextDecoder()
  try {
    let region = Region.allocate(1024)
    let position =
      range.timestampMs === undefined ? reader.locate(range.from) : reader.locateTimestamp(range.timestampMs)
    for (let { offset } = position; ; ) {
      const fill = reader.fill(position, region, range.to, true)
      if (fill.bytesNeeded !== undefined) {
        region = Region.allocate(fill.bytesNeeded)
        continue
      }
      if (fill.gap !== undefined) {
        requireEqual(fill.gap.from, offset, 'begin of a gap')
        gaps.push({ from: fill.gap.from, to: fill.gap.to })
        offset = fill.gap.to
      } else if (fill.bytes === 0) {
        // A batch that `to` lies in is read whole.
        require(offset >= range.to, `reading ends at ${offset}, before ${range.to}`)
        break
      }
      for (let at = 0; at < fill.bytes; at += batchLength(region, at)) {
        requireEqual(batchBaseOffset(region, at), offset, 'base offset of a batch')
        for (const { value, timestamp } of decodeRecords(region, at)) {
          records.push({ offset: offset++, value: bytes.decode(value!), timestamp })
        }
      }
      position = fill.next
    }
  } finally {
    reader.close()
  }
  return { records: records.filter(({ offset }) => offset >= range.from && offset < range.to), gaps }
}

export function requireEqual(found: unknown, expected: unknown, what: string): void {
  if (found !== expected) throw new Error(`${what}: ${String(found)}, expected ${String(expected)}`)
}

export function require(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(what)
}
