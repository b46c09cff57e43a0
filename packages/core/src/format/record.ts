import { WalrusError } from '../errors.js'
import { batchKeptCount, batchRecordOffset, batchRecordsEnd, batchTimestampFirst } from './batch.js'
import {
  BATCH_HEADER_BYTES,
  LENGTH_NULL,
  RECORD_HEADER_BYTES,
  RECORD_HEADERS_LENGTH_AT,
  RECORD_KEY_LENGTH_AT,
  RECORD_TIMESTAMP_DELTA_AT,
  RECORD_VALUE_LENGTH_AT,
  recordBytes,
} from './layout.js'
import type { Region } from './region.js'

/** A record as its bytes. `null` is "none": no key, no headers, no value (a tombstone). */
export interface RawRecord {
  value: Uint8Array | null
  key?: Uint8Array | null
  /** A msgpack map. */
  headers?: Uint8Array | null
  /** Milliseconds since 1970; the batch's own time where it is left out. */
  timestamp?: number
}

/** Where one record's parts lie in its region: positions in bytes, lengths -1 for "none". Reused from record to record. */
export interface RecordParts {
  keyAt: number
  keyLength: number
  headersAt: number
  headersLength: number
  valueAt: number
  valueLength: number
  timestampDeltaMs: number
  /** Where the next record begins. */
  next: number
}

/**
 * Copies `source` to `at`. Up to some 32 bytes a plain loop is faster than the call into `TypedArray.prototype.set`
 * (`npm run bench` has both).
 */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array): void {
  const length = source.length
  if (length > COPY_LOOP_BYTES_MAX) {
    target.set(source, at)
    return
  }
  for (let index = 0; index < length; index++) target[at + index] = source[index]
}

const COPY_LOOP_BYTES_MAX = 32

/** Writes a record's header at `at`; a negative length means "none". Returns where the key begins. */
export function writeRecordHeader(
  region: Region,
  at: number,
  valueLength: number,
  keyLength: number,
  headersLength: number,
  timestampDeltaMs: number,
): number {
  const word = at >>> 2
  const { u32 } = region
  u32[word + (RECORD_VALUE_LENGTH_AT >>> 2)] = valueLength
  u32[word + (RECORD_KEY_LENGTH_AT >>> 2)] = keyLength
  u32[word + (RECORD_HEADERS_LENGTH_AT >>> 2)] = headersLength
  u32[word + (RECORD_TIMESTAMP_DELTA_AT >>> 2)] = timestampDeltaMs
  return at + RECORD_HEADER_BYTES
}

/** Zeroes the padding behind a record whose last byte is before `from`; `next` is where the next record begins. */
export function padRecord(region: Region, from: number, next: number): void {
  for (let at = from; at < next; at++) region.u8[at] = 0
}

/** Bytes that `record` takes in a batch. */
export function rawRecordBytes(record: RawRecord): number {
  return recordBytes(record.value?.length ?? 0, record.key?.length ?? 0, record.headers?.length ?? 0)
}

/**
 * Writes a whole record at `at`; room for `rawRecordBytes(record)` is the caller's business. Returns where it ends.
 * Throws `INVALID_ARGUMENT` for a time too far from the batch's first.
 */
export function writeRecord(region: Region, at: number, record: RawRecord, timestampFirst: number): number {
  const { value, key = null, headers = null } = record
  const delta = record.timestamp === undefined ? 0 : record.timestamp - timestampFirst
  if (delta !== (delta | 0)) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `timestamp ${record.timestamp} is not within 24 whole days of ${timestampFirst}, its batch's first; begin another batch`,
      { field: 'timestamp' },
    )
  }
  let next = writeRecordHeader(region, at, value?.length ?? -1, key?.length ?? -1, headers?.length ?? -1, delta)
  for (const part of [key, headers, value]) {
    if (part === null) continue
    copyBytes(region.u8, next, part)
    next += part.length
  }
  const end = at + rawRecordBytes(record)
  padRecord(region, next, end)
  return end
}

/**
 * Finds the parts of the record at `at`, in a batch that ends at `end`. Returns false where the lengths point outside
 * the batch, which a checksummed batch never does unless a faulty producer wrote it.
 */
export function readRecord(region: Region, at: number, end: number, parts: RecordParts): boolean {
  if (at + RECORD_HEADER_BYTES > end) return false
  const word = at >>> 2
  const valueLength = region.u32[word + (RECORD_VALUE_LENGTH_AT >>> 2)]
  const keyLength = region.u32[word + (RECORD_KEY_LENGTH_AT >>> 2)]
  const headersLength = region.u32[word + (RECORD_HEADERS_LENGTH_AT >>> 2)]
  parts.valueLength = valueLength === LENGTH_NULL ? -1 : valueLength
  parts.keyLength = keyLength === LENGTH_NULL ? -1 : keyLength
  parts.headersLength = headersLength === LENGTH_NULL ? -1 : headersLength
  parts.timestampDeltaMs = region.u32[word + (RECORD_TIMESTAMP_DELTA_AT >>> 2)] | 0
  parts.keyAt = at + RECORD_HEADER_BYTES
  parts.headersAt = parts.keyAt + Math.max(parts.keyLength, 0)
  parts.valueAt = parts.headersAt + Math.max(parts.headersLength, 0)
  // Lengths are below 2^32, so that these sums are exact; `align8` is for small sizes only.
  const bytes = parts.valueAt + Math.max(parts.valueLength, 0) - at
  parts.next = at + Math.ceil(bytes / 8) * 8
  return parts.next <= end
}

export function emptyRecordParts(): RecordParts {
  return {
    keyAt: 0,
    keyLength: 0,
    headersAt: 0,
    headersLength: 0,
    valueAt: 0,
    valueLength: 0,
    timestampDeltaMs: 0,
    next: 0,
  }
}

/** Copies all records of the sound batch at `at` out of the region. For tests, tools and small reads. */
export function decodeRecords(region: Region, at: number): Required<RawRecord>[] {
  const records: Required<RawRecord>[] = []
  const parts = emptyRecordParts()
  const timestampFirst = batchTimestampFirst(region, at)
  let next = at + BATCH_HEADER_BYTES
  const end = batchRecordsEnd(region, at)
  for (let index = 0; index < batchKeptCount(region, at); index++) {
    if (!readRecord(region, next, end, parts)) throw new RangeError(`record ${index} reaches outside its batch`)
    records.push({
      key: copyPart(region, parts.keyAt, parts.keyLength),
      headers: copyPart(region, parts.headersAt, parts.headersLength),
      value: copyPart(region, parts.valueAt, parts.valueLength),
      timestamp: timestampFirst + parts.timestampDeltaMs,
    })
    next = parts.next
  }
  if (next !== end) throw new RangeError(`${end - next} bytes of the batch belong to no record`)
  return records
}

function copyPart(region: Region, at: number, length: number): Uint8Array | null {
  return length < 0 ? null : region.u8.slice(at, at + length)
}

/** Offsets and times of the records of the batch at `at`, whose checksum holds. */
export function* recordOffsets(region: Region, at: number): Generator<{ offset: number; timestamp: number }> {
  const parts = emptyRecordParts()
  const timestampFirst = batchTimestampFirst(region, at)
  const end = batchRecordsEnd(region, at)
  let next = at + BATCH_HEADER_BYTES
  for (let index = 0; index < batchKeptCount(region, at) && readRecord(region, next, end, parts); index++) {
    yield { offset: batchRecordOffset(region, at, index), timestamp: timestampFirst + parts.timestampDeltaMs }
    next = parts.next
  }
}
