import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchKeptCount,
  batchProducerId,
  batchRecordCount,
  batchRecordOffset,
  batchRecordsEnd,
  batchSequenceFirst,
  batchTimestampFirst,
  isBatchThinned,
  LENGTH_NULL,
  RECORD_HEADER_BYTES,
  RECORD_HEADERS_LENGTH_AT,
  RECORD_KEY_LENGTH_AT,
  RECORD_TIMESTAMP_DELTA_AT,
  RECORD_VALUE_LENGTH_AT,
  Region,
  shown,
  WalrusError,
} from '@walrus-log/core'
import { decodeHeaders, type ValueCodec } from './codec.js'

/**
 * One record of a batch. Views (`bytes`, `key`, and `value` where the codec is `'bytes'`) are valid until the next batch
 * is pulled from the reader; copy what is to live longer. Nothing is looked at before it is asked for.
 */
export class LogRecord<Value = unknown> {
  readonly offset: number
  readonly #batch: Batch<Value>
  /** Where the record's header begins; iteration has checked that the record lies within its batch. */
  readonly #at: number

  constructor(batch: Batch<Value>, at: number, offset: number) {
    this.offset = offset
    this.#batch = batch
    this.#at = at
  }

  get partition(): number {
    return this.#batch.partition
  }

  /** Milliseconds since 1970. */
  get timestamp(): number {
    return this.#batch.timestampFirst + (this.#word(RECORD_TIMESTAMP_DELTA_AT) | 0)
  }

  /** The value as the topic's codec decodes it; null for a record without one. */
  get value(): Value {
    const length = this.#word(RECORD_VALUE_LENGTH_AT)
    if (length === LENGTH_NULL) return null as Value
    return this.#batch.codec.decode(this.#batch.region, this.#valueAt, length) as Value
  }

  /** The value's bytes as they are stored; a view. */
  get bytes(): Uint8Array | null {
    const length = this.#word(RECORD_VALUE_LENGTH_AT)
    if (length === LENGTH_NULL) return null
    return this.#batch.region.view(this.#valueAt, length)
  }

  /** The key's bytes; a view. Null for a record without one. */
  get key(): Uint8Array | null {
    const length = this.#word(RECORD_KEY_LENGTH_AT)
    if (length === LENGTH_NULL) return null
    return this.#batch.region.view(this.#at + RECORD_HEADER_BYTES, length)
  }

  get headers(): Record<string, unknown> | null {
    const length = this.#word(RECORD_HEADERS_LENGTH_AT)
    if (length === LENGTH_NULL) return null
    return decodeHeaders(this.#batch.region, this.#valueAt - length, length)
  }

  get #valueAt(): number {
    const { u32 } = this.#batch.region
    const word = this.#at >>> 2
    const keyLength = u32[word + (RECORD_KEY_LENGTH_AT >>> 2)]
    const headersLength = u32[word + (RECORD_HEADERS_LENGTH_AT >>> 2)]
    const before = (keyLength === LENGTH_NULL ? 0 : keyLength) + (headersLength === LENGTH_NULL ? 0 : headersLength)
    return this.#at + RECORD_HEADER_BYTES + before
  }

  #word(at: number): number {
    return this.#batch.region.u32[(this.#at + at) >>> 2]
  }
}

/**
 * Whole records, in order, of one partition and one producer; iterate it once or more until the next one is pulled. In a
 * topic that is compacted, offsets that are missing between records are those of superseded ones.
 */
export class Batch<Value = unknown> implements Iterable<LogRecord<Value>> {
  /** A `Gap`, which a reader may hand out in a batch's place, has one. */
  declare readonly gap: undefined
  readonly partition: number
  /** Offset of the first record that iteration gives; where it gives none, one past the batch. */
  readonly baseOffset: number
  /** How many records iteration gives. */
  readonly count: number
  readonly producerId: number
  /** The time that the records' own times are kept as distances from, in milliseconds since 1970. */
  readonly timestampFirst: number
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
    this.timestampFirst = batchTimestampFirst(region, at)
    this.#at = at
    this.#end = end
    if (isBatchThinned(region, at)) {
      const kept = batchKeptCount(region, at)
      this.#skip = 0
      while (this.#skip < kept && batchRecordOffset(region, at, this.#skip) < from) this.#skip++
      this.count = kept - this.#skip
      this.baseOffset =
        this.count > 0 ? batchRecordOffset(region, at, this.#skip) : baseOffset + batchRecordCount(region, at)
    } else {
      this.#skip = Math.max(from - baseOffset, 0)
      this.baseOffset = baseOffset + this.#skip
      this.count = batchRecordCount(region, at) - this.#skip
    }
  }

  /** Its producer's number of the batch's first record, also where iteration leaves that out. */
  get sequenceFirst(): number {
    return batchSequenceFirst(this.region, this.#at)
  }

  /** The records from offset `from` on in memory of their own, which no later read overwrites. */
  copy(from: number): Batch<Value> {
    const end = batchBaseOffset(this.region, this.#at) + batchRecordCount(this.region, this.#at)
    if (!(Number.isSafeInteger(from) && from >= 0 && from <= end)) {
      throw new WalrusError(
        'INVALID_ARGUMENT',
        `a batch of offsets up to ${end - 1} cannot be copied from ${shown(from)} on; give an offset of it`,
        { field: 'from' },
      )
    }
    const length = this.#end - this.#at
    const region = Region.allocate(length)
    region.u8.set(this.region.u8.subarray(this.#at, this.#end))
    return new Batch<Value>(region, 0, length, this.partition, this.codec, Math.max(from, this.baseOffset))
  }

  [Symbol.iterator](): Iterator<LogRecord<Value>, undefined> {
    const { region } = this
    const at = this.#at
    const offsets = isBatchThinned(region, at) ? (index: number) => batchRecordOffset(region, at, index) : undefined
    return new RecordIterator(this, at + BATCH_HEADER_BYTES, batchRecordsEnd(region, at), this.#skip, offsets)
  }
}

/** Walks over a batch's records. */
class RecordIterator<Value> implements Iterator<LogRecord<Value>, undefined> {
  readonly #batch: Batch<Value>
  readonly #u32: Uint32Array
  readonly #end: number
  #at: number
  #offset: number
  #left: number
  /** Of a thinned batch: the offset of each record that is there. */
  readonly #offsets: ((index: number) => number) | undefined
  #index: number

  constructor(
    batch: Batch<Value>,
    at: number,
    end: number,
    skip: number,
    offsets: ((index: number) => number) | undefined,
  ) {
    this.#offsets = offsets
    this.#index = skip
    this.#batch = batch
    this.#u32 = batch.region.u32
    this.#at = at
    this.#end = end
    this.#offset = batch.baseOffset - skip
    this.#left = batch.count + skip
    for (let skipped = 0; skipped < skip; skipped++) this.#advance()
  }

  next(): IteratorResult<LogRecord<Value>, undefined> {
    if (this.#left === 0) return { done: true, value: undefined }
    const at = this.#at
    const offset = this.#offsets === undefined ? this.#offset : this.#offsets(this.#index++)
    this.#advance()
    return { done: false, value: new LogRecord(this.#batch, at, offset) }
  }

  #advance(): void {
    const u32 = this.#u32
    const word = this.#at >>> 2
    let bytes = RECORD_HEADER_BYTES
    if (this.#at + bytes <= this.#end) {
      const valueLength = u32[word + (RECORD_VALUE_LENGTH_AT >>> 2)]
      const keyLength = u32[word + (RECORD_KEY_LENGTH_AT >>> 2)]
      const headersLength = u32[word + (RECORD_HEADERS_LENGTH_AT >>> 2)]
      if (valueLength !== LENGTH_NULL) bytes += valueLength
      if (keyLength !== LENGTH_NULL) bytes += keyLength
      if (headersLength !== LENGTH_NULL) bytes += headersLength
    }
    // Lengths are below 2^32 each, so that the sum is exact, and so is what is missing to a multiple of 8.
    if (this.#at + bytes > this.#end) throw outsideBatch(this.#batch.partition, this.#offset)
    this.#at += bytes + (-bytes & 7)
    this.#offset++
    this.#left--
  }
}

function outsideBatch(partition: number, offset: number): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `the record at offset ${offset} of partition ${partition} reaches outside its batch; its producer wrote it so: read on from a later offset`,
    { offset },
  )
}
