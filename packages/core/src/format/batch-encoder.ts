import { assert } from '../errors.js'
import { closeBatch } from './batch.js'
import { BATCH_HEADER_BYTES } from './layout.js'
import { type RawRecord, rawRecordBytes, writeRecord } from './record.js'
import { Region } from './region.js'

/** A closed batch in memory of its own; `stampBatch` may be applied to it any number of times. */
export interface EncodedBatch {
  region: Region
  length: number
}

export interface BatchOrigin {
  producerId: number
  producerEpoch: number
  sequenceFirst: number
  attributes?: number
  /** Time of records that name none, in milliseconds since 1970. */
  timestampMs: number
}

/** Encodes records as one closed batch in new memory. For batches outside the hot path: tools, tests, large records. */
export function encodeBatch(records: readonly RawRecord[], origin: BatchOrigin): EncodedBatch {
  let length = BATCH_HEADER_BYTES
  for (const record of records) length += rawRecordBytes(record)
  const region = Region.allocate(length)
  encodeBatchInto(region, 0, records, origin)
  return { region, length }
}

/** The same at `at` of memory that has room for it. Returns where the batch ends. */
export function encodeBatchInto(
  region: Region,
  at: number,
  records: readonly RawRecord[],
  origin: BatchOrigin,
): number {
  assert(records.length > 0, 'a batch has a record')
  const timestampFirst = records[0].timestamp ?? origin.timestampMs
  let timestampMax = timestampFirst
  let next = at + BATCH_HEADER_BYTES
  for (const record of records) {
    const timestamp = record.timestamp ?? origin.timestampMs
    if (timestamp > timestampMax) timestampMax = timestamp
    next = writeRecord(region, next, { ...record, timestamp }, timestampFirst)
  }
  closeBatch(region, at, next, {
    recordCount: records.length,
    attributes: origin.attributes ?? 0,
    timestampFirst,
    timestampMax,
    producerId: origin.producerId,
    producerEpoch: origin.producerEpoch,
    sequenceFirst: origin.sequenceFirst,
  })
  return next
}
