import type { SegmentIndex } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { OpenFile } from '../storage/file-system.js'
import { IndexBuilder, type SealedSegment } from './index-builder.js'
import { type ScanResult, scanSegment } from './scan.js'

/** Reads all of a segment without gaps, and says what its index is up to where its batches are whole. */
export function rebuildIndex(
  file: OpenFile,
  segment: Omit<SealedSegment, 'dataBytes'>,
): { index: SegmentIndex; scan: ScanResult } {
  const builder = new IndexBuilder()
  const scan = scanSegment({
    file,
    segmentId: segment.segmentId,
    position: SEGMENT_HEADER_BYTES,
    offset: segment.baseOffset,
    onBatch: (region, at, position) => builder.add(region, at, position),
  })
  return { index: builder.finish({ ...segment, dataBytes: scan.position }), scan }
}
