import { expect } from 'vitest'
import { batchBaseOffset, batchLength } from '#core/format/batch.js'
import { decodeRecords } from '#core/format/record.js'
import { Region } from '#core/format/region.js'
import { SegmentReader } from '#core/segment/segment-reader.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'

export interface Found {
  /** By offset. */
  values: Map<number, string>
  /** As `reason from-to`. */
  gaps: string[]
}

/**
 * Reads everything, gaps included, and checks that records and gaps follow one another without a hole and without an
 * overlap from the first offset to the last.
 */
export function readOver(
  directory: string,
  { offsetFirst, offsetNext }: { offsetFirst: number; offsetNext: number },
  { fs = new NodeFileSystem() as FileSystem, skip = true, regionBytes = 4096 } = {},
): Found {
  const found: Found = { values: new Map(), gaps: [] }
  if (offsetFirst === offsetNext) return found
  const reader = new SegmentReader(fs, directory, { skip })
  let region = Region.allocate(regionBytes)
  let offset = offsetFirst
  try {
    for (let position = reader.locate(offsetFirst); ; ) {
      const fill = reader.fill(position, region, offsetNext, true)
      if (fill.bytesNeeded !== undefined) {
        region = Region.allocate(fill.bytesNeeded)
        continue
      }
      if (fill.gap !== undefined) {
        expect(fill.gap.from).toBe(offset)
        expect(fill.gap.to).toBeGreaterThan(offset)
        offset = fill.gap.to
        found.gaps.push(`${fill.gap.reason} ${fill.gap.from}-${fill.gap.to}`)
      } else if (fill.bytes === 0) break
      for (let at = 0; at < fill.bytes; at += batchLength(region, at)) {
        expect(batchBaseOffset(region, at)).toBe(offset)
        for (const { value } of decodeRecords(region, at)) {
          found.values.set(offset++, new TextDecoder().decode(value!))
        }
      }
      position = fill.next
    }
  } finally {
    reader.close()
  }
  expect(offset).toBe(offsetNext)
  return found
}
