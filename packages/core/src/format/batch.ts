import { BATCH_BYTES_MAX, OFFSET_MAX } from '../limits.js'
import { checksumSmall } from './checksum.js'
import {
  ATTRIBUTE_DURABILITY_MASK,
  ATTRIBUTE_THINNED,
  align8,
  BATCH_ACKNOWLEDGED_OFFSET_AT,
  BATCH_ATTRIBUTES_AT,
  BATCH_BASE_OFFSET_AT,
  BATCH_CHECKSUM_AT,
  BATCH_CHECKSUM_FROM,
  BATCH_EPOCH_AT,
  BATCH_HEADER_BYTES,
  BATCH_KEPT_COUNT_AT,
  BATCH_LENGTH_AT,
  BATCH_MAGIC,
  BATCH_MAGIC_AT,
  BATCH_PRODUCER_EPOCH_AT,
  BATCH_PRODUCER_ID_AT,
  BATCH_RECORD_COUNT_AT,
  BATCH_SEGMENT_ID_AT,
  BATCH_SEQUENCE_FIRST_AT,
  BATCH_STAMP_CHECK_AT,
  BATCH_STAMP_CHECK_TO,
  BATCH_TIMESTAMP_FIRST_AT,
  BATCH_TIMESTAMP_MAX_AT,
  NAMED_PRODUCER_ID_MIN,
  OFFSET_DELTA_BYTES,
  RECORD_HEADER_BYTES,
} from './layout.js'
import { type Region, readU64, writeU64 } from './region.js'

const NAMED_HIGH_MIN = NAMED_PRODUCER_ID_MIN / 2 ** 32

// Every function here takes the region that holds the batch and `at`, the byte where the batch begins (8-aligned).

/** The producer's part of a header, known when its batch ends. */
export interface BatchProperties {
  recordCount: number
  /** Durability asked for, in bits 0-2. */
  attributes: number
  timestampFirst: number
  timestampMax: number
  producerId: number
  producerEpoch: number
  sequenceFirst: number
}

/**
 * Completes the producer's part of the batch whose records lie in [at + 96, end). The stamp's fields become zero.
 * The bytes are the region owner's throughout; the checksum is taken over them as they are now.
 */
export function closeBatch(region: Region, at: number, end: number, properties: BatchProperties): void {
  const { u32, f64 } = region
  u32.fill(0, at >>> 2, (at + BATCH_LENGTH_AT) >>> 2)
  u32[(at + BATCH_LENGTH_AT) >>> 2] = end - at
  u32[(at + BATCH_STAMP_CHECK_AT) >>> 2] = 0
  u32[(at + BATCH_RECORD_COUNT_AT) >>> 2] = properties.recordCount
  u32[(at + BATCH_ATTRIBUTES_AT) >>> 2] = properties.attributes
  f64[(at + BATCH_TIMESTAMP_FIRST_AT) >>> 3] = properties.timestampFirst
  f64[(at + BATCH_TIMESTAMP_MAX_AT) >>> 3] = properties.timestampMax
  writeU64(region, at + BATCH_PRODUCER_ID_AT, properties.producerId)
  writeU64(region, at + BATCH_SEQUENCE_FIRST_AT, properties.sequenceFirst)
  u32[(at + BATCH_PRODUCER_EPOCH_AT) >>> 2] = properties.producerEpoch
  u32.fill(0, (at + BATCH_KEPT_COUNT_AT) >>> 2, (at + BATCH_HEADER_BYTES) >>> 2)
  u32[(at + BATCH_CHECKSUM_AT) >>> 2] = region.hash(at + BATCH_CHECKSUM_FROM, end)
  u32[(at + BATCH_MAGIC_AT) >>> 2] = BATCH_MAGIC
}

/** Says of a closed batch how many records compaction has left in it, and takes the checksum anew. */
export function sealThinned(region: Region, at: number, keptCount: number): void {
  region.u32[(at + BATCH_KEPT_COUNT_AT) >>> 2] = keptCount
  region.u32[(at + BATCH_CHECKSUM_AT) >>> 2] = region.hash(at + BATCH_CHECKSUM_FROM, at + batchLength(region, at))
}

export interface BatchStamp {
  baseOffset: number
  /** Everything below this offset is acknowledged as the stamp is made; recovery's proof that it must be there. */
  acknowledgedOffset: number
  leaseEpoch: number
  segmentId: number
}

/** Writes the segment writer's part, in place. Stamping again, with other values, is sound. */
export function stampBatch(region: Region, at: number, stamp: BatchStamp): void {
  writeU64(region, at + BATCH_BASE_OFFSET_AT, stamp.baseOffset)
  writeU64(region, at + BATCH_ACKNOWLEDGED_OFFSET_AT, stamp.acknowledgedOffset)
  region.u32[(at + BATCH_EPOCH_AT) >>> 2] = stamp.leaseEpoch
  region.u32[(at + BATCH_SEGMENT_ID_AT) >>> 2] = stamp.segmentId
  region.u32[(at + BATCH_STAMP_CHECK_AT) >>> 2] = checksumSmall(region, at, at + BATCH_STAMP_CHECK_TO)
}

export const batchLength = (region: Region, at: number): number => region.u32[(at + BATCH_LENGTH_AT) >>> 2]
export const batchMagic = (region: Region, at: number): number => region.u32[(at + BATCH_MAGIC_AT) >>> 2]
export const batchChecksum = (region: Region, at: number): number => region.u32[(at + BATCH_CHECKSUM_AT) >>> 2]
export const batchBaseOffset = (region: Region, at: number): number => readU64(region, at + BATCH_BASE_OFFSET_AT)
export const batchEpoch = (region: Region, at: number): number => region.u32[(at + BATCH_EPOCH_AT) >>> 2]
export const batchSegmentId = (region: Region, at: number): number => region.u32[(at + BATCH_SEGMENT_ID_AT) >>> 2]
/** Offsets that the batch spans: as many records as its producer wrote. What is left of them, `batchKeptCount` says. */
export const batchRecordCount = (region: Region, at: number): number => region.u32[(at + BATCH_RECORD_COUNT_AT) >>> 2]
export const batchProducerId = (region: Region, at: number): number => readU64(region, at + BATCH_PRODUCER_ID_AT)
/** Whether a producer that has a name of its user's made the batch: by its id's high word, with one load. */
export const isBatchOfNamed = (region: Region, at: number): boolean =>
  region.u32[(at + BATCH_PRODUCER_ID_AT + 4) >>> 2] >= NAMED_HIGH_MIN
export const batchProducerEpoch = (region: Region, at: number): number =>
  region.u32[(at + BATCH_PRODUCER_EPOCH_AT) >>> 2]
export const batchSequenceFirst = (region: Region, at: number): number => readU64(region, at + BATCH_SEQUENCE_FIRST_AT)
export const batchTimestampFirst = (region: Region, at: number): number =>
  region.f64[(at + BATCH_TIMESTAMP_FIRST_AT) >>> 3]
export const batchTimestampMax = (region: Region, at: number): number => region.f64[(at + BATCH_TIMESTAMP_MAX_AT) >>> 3]
export const batchDurability = (region: Region, at: number): number =>
  region.u32[(at + BATCH_ATTRIBUTES_AT) >>> 2] & ATTRIBUTE_DURABILITY_MASK
export const batchAcknowledgedOffset = (region: Region, at: number): number =>
  readU64(region, at + BATCH_ACKNOWLEDGED_OFFSET_AT)

/** Whether compaction has taken records out of the batch. */
export const isBatchThinned = (region: Region, at: number): boolean =>
  (region.u32[(at + BATCH_ATTRIBUTES_AT) >>> 2] & ATTRIBUTE_THINNED) !== 0
/** Records that are there. */
export const batchKeptCount = (region: Region, at: number): number =>
  isBatchThinned(region, at) ? region.u32[(at + BATCH_KEPT_COUNT_AT) >>> 2] : batchRecordCount(region, at)
/** Where the records end; behind them, a thinned batch has the table of their offsets. */
export const batchRecordsEnd = (region: Region, at: number): number =>
  at + batchLength(region, at) - (isBatchThinned(region, at) ? deltaTableBytes(batchKeptCount(region, at)) : 0)
/** Bytes of the table of so many offsets. */
export const deltaTableBytes = (keptCount: number): number => align8(keptCount * OFFSET_DELTA_BYTES)
/** Offset of the record that is the `index`th of those that are there. */
export const batchRecordOffset = (region: Region, at: number, index: number): number =>
  batchBaseOffset(region, at) +
  (isBatchThinned(region, at) ? region.u32[(batchRecordsEnd(region, at) >>> 2) + index] : index)

/** What a look at the bytes of a supposed batch found. `torn` and `zeros` need more bytes or are the end of the data. */
export type BatchCheck = 'sound' | 'zeros' | 'torn' | 'bad-header' | 'bad-checksum'

/**
 * Whether the header at `at` is whole: its stamp's check holds, and its numbers are those that a batch can have.
 * `available` bytes are there from `at` on; `sound` says nothing yet of the records behind it.
 */
export function checkBatchHeader(region: Region, at: number, available: number): BatchCheck {
  if (available < BATCH_HEADER_BYTES) return isZero(region, at, available) ? 'zeros' : 'torn'
  const { u32 } = region
  if (u32[(at + BATCH_MAGIC_AT) >>> 2] !== BATCH_MAGIC) {
    return isZero(region, at, BATCH_HEADER_BYTES) ? 'zeros' : 'bad-header'
  }
  if (u32[(at + BATCH_STAMP_CHECK_AT) >>> 2] !== checksumSmall(region, at, at + BATCH_STAMP_CHECK_TO))
    return 'bad-header'
  const length = u32[(at + BATCH_LENGTH_AT) >>> 2]
  if (length < BATCH_HEADER_BYTES || length > BATCH_BYTES_MAX || (length & 7) !== 0) return 'bad-header'
  // The count moves offsets: one that its bytes cannot hold is refused before any checksum of the body is looked at.
  const recordCount = u32[(at + BATCH_RECORD_COUNT_AT) >>> 2]
  if (recordCount === 0) return 'bad-header'
  if (isBatchThinned(region, at)) {
    const keptCount = batchKeptCount(region, at)
    const least = keptCount * RECORD_HEADER_BYTES + deltaTableBytes(keptCount)
    if (keptCount > recordCount || least > length - BATCH_HEADER_BYTES) return 'bad-header'
  } else if (recordCount * RECORD_HEADER_BYTES > length - BATCH_HEADER_BYTES) return 'bad-header'
  const baseOffset = batchBaseOffset(region, at)
  if (baseOffset + recordCount > OFFSET_MAX || batchAcknowledgedOffset(region, at) > baseOffset) return 'bad-header'
  return 'sound'
}

/** Whether the whole batch at `at` is sound. `torn`: the header is, but fewer than its length of bytes are there. */
export function checkBatch(region: Region, at: number, available: number): BatchCheck {
  const header = checkBatchHeader(region, at, available)
  if (header !== 'sound') return header
  const length = batchLength(region, at)
  if (length > available) return 'torn'
  return batchChecksum(region, at) === region.hash(at + BATCH_CHECKSUM_FROM, at + length) ? 'sound' : 'bad-checksum'
}

export function isZero(region: Region, from: number, bytes: number): boolean {
  const { u8 } = region
  for (let at = from; at < from + bytes; at++) if (u8[at] !== 0) return false
  return true
}
