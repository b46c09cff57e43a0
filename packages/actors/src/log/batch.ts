import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchProducerId,
  batchRecordCount,
  batchTimestampFirst,
  emptyRecordParts,
  type RecordParts,
  type Region,
  readRecord,
  WalrusError,
} from '@walrus-log/core'
import { decodeHeaders, type ValueCodec } from './codec.js'

/**
 * One record of a batch. Views (`bytes`, `key`, and `value` where the codec is `'bytes'`) are valid until the next batch
 * is pulled from the reader; copy what is to live longer. Nothing is decoded before it is asked for.
 */
export class LogRecord<Value = unknown> {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly #batch: Batch<Value>
  readonly #valueAt: number
  readonly #valueLength: number
  readonly #keyLength: number
  readonly #headersLength: number

  constructor(batch: Batch<Value>, offset: number, timestamp: number, parts: RecordParts) {
    this.partition = batch.partition
    this.offset = offset
    this.timestamp = timestamp
    this.#batch = batch
    this.#valueAt = parts.valueAt
    this.#valueLength = parts.valueLength
    this.#keyLength = parts.keyLength
    this.#headersLength = parts.headersLength
  }

  /** The value as the topic's codec decodes it; null for a record without one. */
  get value(): Value {
    if (this.#valueLength < 0) return null as Value
    return this.#batch.codec.decode(this.#batch.region, this.#valueAt, this.#valueLength) as Value
  }

  /** The value's bytes as they are stored; a view. */
  get bytes(): Uint8Array | null {
    return this.#valueLength < 0 ? null : this.#batch.region.u8.subarray(this.#valueAt, this.#valueAt + this.#valueLength)
  }

  /** The key's bytes; a view. Null for a record without one. */
  get key(): Uint8Array | null {
    if (this.#keyLength < 0) return null
    const at = this.#valueAt - Math.max(this.#headersLength, 0) - this.#keyLength
    return this.#batch.region.u8.subarray(at, at + this.#keyLength)
  }

  get headers(): Record<string, unknown> | null {
    if (this.#headersLength < 0) return null
    return decodeHeaders(this.#batch.region, this.#valueAt - this.#headersLength, this.#headersLength)
  }
}

/** Whole records, in order, of one partition and one producer; iterate it once or more until the next one is pulled. */
export class Batch<Value = unknown> implements Iterable<LogRecord<Value>> {
  readonly partition: number
  /** Offset of the first record that iteration gives. */
  readonly baseOffset: number
  /** How many records iteration gives. */
  readonly count: number
  readonly producerId: number
  readonly region: Region
  readonly codec: ValueCodec
  readonly #at: number
  readonly #end: number
  readonly #skip: number

  /** `from`: records of the batch before this offset are left out. */
  constructor(region: Region, at: number, end: number, partition: number, codec: ValueCodec, from: number) {
    const baseOffset = batchBaseOffset(region, at)
    this.region = region
    this.codec = codec
    this.partition = partition
    this.producerId = batchProducerId(region, at)
    this.#at = at
    this.#end = end
    this.#skip = Math.max(from - baseOffset, 0)
    this.baseOffset = baseOffset + this.#skip
    this.count = batchRecordCount(region, at) - this.#skip
  }

  *[Symbol.iterator](): Generator<LogRecord<Value>, void, undefined> {
    const parts = emptyRecordParts()
    const timestampFirst = batchTimestampFirst(this.region, this.#at)
    let next = this.#at + BATCH_HEADER_BYTES
    let offset = this.baseOffset - this.#skip
    for (let left = this.count + this.#skip; left > 0; left--) {
      if (!readRecord(this.region, next, this.#end, parts)) {
        throw new WalrusError('SEGMENT_CORRUPT', `the record at offset ${offset} of partition ${this.partition} reaches outside its batch; its producer wrote it so`, { offset })
      }
      next = parts.next
      if (offset >= this.baseOffset) yield new LogRecord(this, offset, timestampFirst + parts.timestampDeltaMs, parts)
      offset++
    }
  }
}
