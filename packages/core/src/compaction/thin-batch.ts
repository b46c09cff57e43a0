import {
  type BatchProperties,
  batchAcknowledgedOffset,
  batchBaseOffset,
  batchDurability,
  batchEpoch,
  batchKeptCount,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchRecordOffset,
  batchRecordsEnd,
  batchSegmentId,
  batchSequenceFirst,
  batchTimestampFirst,
  closeBatch,
  deltaTableBytes,
  sealThinned,
  stampBatch,
} from '../format/batch.js'
import { ATTRIBUTE_THINNED, BATCH_HEADER_BYTES, OFFSET_DELTA_BYTES } from '../format/layout.js'
import { emptyRecordParts, type RecordParts, readRecord } from '../format/record.js'
import type { Region } from '../format/region.js'

// A batch without some of its records. Pure. Offsets, sequences and epochs are those that it had: it spans what it spanned.

/** Where a record that is kept lies, and its place among those that are there. */
export interface KeptRecord {
  index: number
  from: number
  to: number
  timestamp: number
}

/**
 * Asks of each record of the sound batch at `at` whether it is kept. Undefined where the batch's records do not fill it as
 * they should, which a faulty producer only can bring about: such a batch is nothing to be changed.
 */
export function chooseRecords(
  region: Region,
  at: number,
  isKept: (parts: RecordParts, offset: number) => boolean,
): KeptRecord[] | undefined {
  const kept: KeptRecord[] = []
  const parts = emptyRecordParts()
  const timestampFirst = batchTimestampFirst(region, at)
  const end = batchRecordsEnd(region, at)
  let from = at + BATCH_HEADER_BYTES
  for (let index = 0; index < batchKeptCount(region, at); index++) {
    if (!readRecord(region, from, end, parts)) return undefined
    const to = parts.next
    if (isKept(parts, batchRecordOffset(region, at, index))) {
      kept.push({ index, from, to, timestamp: timestampFirst + parts.timestampDeltaMs })
    }
    from = to
  }
  return from === end ? kept : undefined
}

/** Bytes that the batch takes with those records. */
export function thinnedBytes(kept: readonly KeptRecord[]): number {
  let bytes = BATCH_HEADER_BYTES + deltaTableBytes(kept.length)
  for (const { from, to } of kept) bytes += to - from
  return bytes
}

/** Writes the batch at `at` of `region` with the records `kept` to the beginning of `target`. Returns its length. */
export function thinBatch(region: Region, at: number, kept: readonly KeptRecord[], target: Region): number {
  const baseOffset = batchBaseOffset(region, at)
  const timestampFirst = batchTimestampFirst(region, at)
  let next = BATCH_HEADER_BYTES
  let timestampMax = kept.length === 0 ? timestampFirst : Number.NEGATIVE_INFINITY
  for (const { from, to, timestamp } of kept) {
    target.u8.set(region.u8.subarray(from, to), next)
    next += to - from
    timestampMax = Math.max(timestampMax, timestamp)
  }
  const end = next + deltaTableBytes(kept.length)
  target.u8.fill(0, next, end)
  for (const { index } of kept) {
    target.u32[next >>> 2] = batchRecordOffset(region, at, index) - baseOffset
    next += OFFSET_DELTA_BYTES
  }
  closeThinned(target, end, kept.length, {
    recordCount: batchRecordCount(region, at),
    attributes: batchDurability(region, at),
    timestampFirst,
    timestampMax,
    producerId: batchProducerId(region, at),
    producerEpoch: batchProducerEpoch(region, at),
    sequenceFirst: batchSequenceFirst(region, at),
  })
  stampAs(region, at, target)
  return end
}

/** Makes a batch without records and without a producer in `target`, which spans what the batch at `at` does. */
export function beginFiller(region: Region, at: number, target: Region): void {
  fill(target, batchRecordCount(region, at), batchTimestampFirst(region, at))
  stampAs(region, at, target)
}

/** Makes the filler in `target` span the batch at `at` too, which follows it. */
export function extendFiller(region: Region, at: number, target: Region): void {
  const [baseOffset, acknowledgedOffset] = [batchBaseOffset(target, 0), batchAcknowledgedOffset(target, 0)]
  fill(target, batchRecordCount(target, 0) + batchRecordCount(region, at), batchTimestampFirst(target, 0))
  // A lease's epoch never falls from batch to batch.
  const [leaseEpoch, segmentId] = [batchEpoch(region, at), batchSegmentId(region, at)]
  stampBatch(target, 0, { baseOffset, acknowledgedOffset, leaseEpoch, segmentId })
}

function fill(target: Region, recordCount: number, timestamp: number): void {
  const times = { timestampFirst: timestamp, timestampMax: timestamp }
  const nobody = { producerId: 0, producerEpoch: 0, sequenceFirst: 0 }
  closeThinned(target, BATCH_HEADER_BYTES, 0, { recordCount, attributes: 0, ...times, ...nobody })
}

function closeThinned(target: Region, end: number, keptCount: number, properties: BatchProperties): void {
  closeBatch(target, 0, end, { ...properties, attributes: properties.attributes | ATTRIBUTE_THINNED })
  sealThinned(target, 0, keptCount)
}

function stampAs(region: Region, at: number, target: Region): void {
  stampBatch(target, 0, {
    baseOffset: batchBaseOffset(region, at),
    acknowledgedOffset: batchAcknowledgedOffset(region, at),
    leaseEpoch: batchEpoch(region, at),
    segmentId: batchSegmentId(region, at),
  })
}
