import { BATCH_HEADER_BYTES, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { SegmentHeader } from '../format/segment-header.js'
import { headerGap, unlessDamaged } from '../segment/gaps.js'
import { type Behind, classifyDamage, decideRecovery } from '../segment/recovery.js'
import { contentEnd, findBatches, findSegmentId } from '../segment/scan.js'
import { loadIndex } from '../segment/seal.js'
import { corrupt, offsetBehind, type SegmentInHand, type SegmentToRead, witnessBehind } from './recovered-segment.js'

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512

/**
 * What to do with a segment whose file has no sound header: undefined where its creation was torn, and it is to be
 * removed; else, with mode `skip`, how to read it without one. Throws where the mode forbids either.
 */
export function decideHeaderless(segment: SegmentInHand): SegmentToRead | undefined {
  const { options, base, name, file } = segment
  const own = findBatches(file, undefined, base)
  const behind = witnessBehind(segment)
  const isProven = hasFirstBatch(segment) || segment.offsetEnd > base
  const kind: Behind = isProven ? 'acknowledged' : classifyDamage(base, own, behind)
  switch (decideRecovery(options.mode, kind)) {
    case 'cut':
      return undefined
    case 'refuse':
      throw corrupt(name, 0, base, 'has no sound segment header')
    case 'keep-and-skip': {
      const { fs, directory } = options
      const index = unlessDamaged(true, () => loadIndex(fs, directory, base))
      const segmentId = index?.segmentId ?? findSegmentId(file, base)
      // Nothing is whole and nothing says how much there was: no offset that it may have had comes a second time.
      if (segmentId === undefined && offsetBehind(segment) === undefined)
        segment.offsetEnd = base + recordsAtMost(segment)
      return withoutHeader(segment, segmentId ?? NO_SEGMENT_ID)
    }
  }
}

/** No segment has it. */
const NO_SEGMENT_ID = 0

/** The segment as it is read where its header was given up. */
export function withoutHeader({ options, base }: SegmentInHand, segmentId: number): SegmentToRead {
  const header: SegmentHeader = {
    segmentId,
    baseOffset: base,
    leaseEpoch: 0,
    createdMs: 0,
    acknowledgedOffset: 0,
    partition: options.partition,
  }
  return { header, gaps: [headerGap(base)] }
}

/**
 * A file without header was being created when the power failed, unless something says that there was more, such as
 * bytes in the sector that the header shares with the first batch.
 */
function hasFirstBatch({ file }: SegmentInHand): boolean {
  const sector = new Uint8Array(SECTOR_BYTES)
  const length = file.read(sector, 0, sector.length, 0)
  return sector.subarray(SEGMENT_HEADER_BYTES, length).some((byte) => byte !== 0)
}

function recordsAtMost({ file }: SegmentInHand): number {
  const bytes = contentEnd(file) - SEGMENT_HEADER_BYTES - BATCH_HEADER_BYTES
  return Math.max(Math.ceil(bytes / RECORD_HEADER_BYTES), 1)
}
