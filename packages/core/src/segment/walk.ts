import { batchLength, batchRecordCount, checkBatchHeader } from '../format/batch.js'
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { Region } from '../format/region.js'
import type { OpenFile } from '../storage/file-system.js'

/** Small batches stand in it by the dozen, of large ones little but the header is read. */
const WALK_BYTES = 16 * 1024

/**
 * Goes from header to header of a segment whose batches are known to be whole, without reading what is in them. Returns
 * the offset that it came to: `offsetEnd`, or less where a header is damaged.
 */
export function walkHeaders(
  file: OpenFile,
  offsetFirst: number,
  offsetEnd: number,
  onBatch: (region: Region, at: number, position: number) => void,
  /** Where the batch stands that begins with `offsetFirst`. */
  positionFirst = SEGMENT_HEADER_BYTES,
): number {
  const region = Region.allocate(WALK_BYTES)
  let start = 0
  let bytes = 0
  let position = positionFirst
  let offset = offsetFirst
  while (offset < offsetEnd) {
    if (position + BATCH_HEADER_BYTES > start + bytes) {
      start = position
      bytes = file.read(region.u8, 0, WALK_BYTES, start)
    }
    const at = position - start
    if (checkBatchHeader(region, at, bytes - at) !== 'sound') break
    onBatch(region, at, position)
    offset += batchRecordCount(region, at)
    position += batchLength(region, at)
  }
  return offset
}
