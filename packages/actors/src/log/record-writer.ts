import {
  BATCH_BYTES_MAX,
  BATCH_HEADER_BYTES,
  encodeBatchInto,
  LENGTH_NULL,
  padRecord,
  RECORD_BYTES_MAX,
  RECORD_HEADER_BYTES,
  Region,
  recordBytes,
  WalrusError,
  writeRecordHeader,
} from '@walrus-log/core'
import { durabilityLevel } from '../writer/durability.js'
import { decodeRefusal, encodeRefusal } from '../writer/outcome.js'
import { CODECS, encodeHeaders, encodeKey, type ValueCodec } from './codec.js'
import { batchTooLarge, NO_RECORD_OPTIONS, type RecordOptions, recordTooLarge } from './options.js'
import { CLOSED, FULL, type PartitionLane, TOO_LARGE } from './partition-lane.js'
import { partitionOfKey } from './partitioner.js'

export interface RecordWriterOptions {
  topic: string
  partitions: number
  codec: ValueCodec
  /** Whether the records' sequences may be given. */
  takesSequences: boolean
  /** The partition that all records go to, if there is one. */
  fixed: number | undefined
  openLane: (partition: number) => PartitionLane
  /** Throws `CLOSED` unless records are taken. */
  requireOpen: () => void
}

/**
 * The half of a producer that turns values into records in lanes: it chooses the partition, finds room, has the codec
 * encode in place, and publishes. It waits for nothing and settles nothing.
 */
export class RecordWriter {
  /** The partition that the last record went to; -1 before the first. */
  lastPartition = -1
  readonly lanes: (PartitionLane | undefined)[]
  readonly #codec: ValueCodec
  readonly #fixed: number | undefined
  readonly #options: RecordWriterOptions
  #nextPartition = 0
  #fullPartition = -1
  #publishIsDue = false

  constructor(options: RecordWriterOptions) {
    this.#options = options
    this.#codec = options.codec
    this.#fixed = options.fixed
    this.lanes = Array.from({ length: options.partitions }, () => undefined)
  }

  /** Sends a value in the topic's codec, or returns false. */
  send(value: unknown, options: RecordOptions): boolean {
    if (options === NO_RECORD_OPTIONS && this.#codec === CODECS.bytes && this.#addPlain(value)) return true
    return this.#put(value, this.#codec, options)
  }

  /** Sends bytes that are encoded already, or returns false. */
  sendEncoded(bytes: Uint8Array, options: RecordOptions): boolean {
    if (options === NO_RECORD_OPTIONS && this.#addPlain(bytes)) return true
    return this.#put(bytes, CODECS.bytes, options)
  }

  /** The lane of the last record. */
  get lastLane(): PartitionLane {
    return this.lanes[this.lastPartition] as PartitionLane
  }

  /** The lane that had no room when a send last failed. */
  get fullLane(): PartitionLane | undefined {
    return this.#fullPartition < 0 ? undefined : this.lanes[this.#fullPartition]
  }

  get hasRoom(): boolean {
    return this.fullLane?.hasRoom() ?? true
  }

  publishAll(): void {
    for (const lane of this.lanes) lane?.publish()
  }

  /**
   * The hottest path: bytes without key, headers or time of their own, into a batch that is open and has room. Returns
   * false where it is not that simple.
   */
  #addPlain(value: unknown): boolean {
    if (!(value instanceof Uint8Array)) return false
    const partition = this.#fixed ?? this.#nextPartition
    const lane = this.lanes[partition]
    if (lane === undefined || !lane.addPlain(value)) return false
    this.lastPartition = partition
    if (this.#fixed === undefined) this.#nextPartition = partition + 1 === this.lanes.length ? 0 : partition + 1
    if (lane.isLookDue() && lane.isWriterIdle) lane.publish()
    else if (!this.#publishIsDue) this.#publishAtTurnEnd()
    return true
  }

  /** Copies a record into the lane of its partition, or returns false. Nothing here makes an object. */
  #put(value: unknown, codec: ValueCodec, options: RecordOptions): boolean {
    if (options.sequence !== undefined) this.#checkSequence(options.sequence)
    const key = options.key === undefined ? undefined : encodeKey(options.key)
    const headers = options.headers === undefined ? undefined : encodeHeaders(options.headers)
    const first = this.#choosePartition(key)
    let partition = first
    // Without a key any partition will do: one whose lane is full does not hold the others up.
    do {
      if (this.#putInto(this.#lane(partition), value, codec, key, headers, options)) {
        this.lastPartition = partition
        return true
      }
      if (key !== undefined || this.#fixed !== undefined) break
      partition = partition + 1 === this.lanes.length ? 0 : partition + 1
    } while (partition !== first)
    this.#fullPartition = partition
    if (key === undefined) this.#nextPartition = first
    return false
  }

  #putInto(
    lane: PartitionLane,
    value: unknown,
    codec: ValueCodec,
    key: Uint8Array | undefined,
    headers: Uint8Array | undefined,
    options: RecordOptions,
  ): boolean {
    const keyLength = key === undefined ? 0 : key.length
    const headersLength = headers === undefined ? 0 : headers.length
    let { timestamp } = options
    const level = recordLevel(options.durability)
    if (timestamp !== undefined) checkTimestamp(timestamp)
    else if (lane.hasGivenTime) timestamp = Date.now()
    if (timestamp !== undefined && lane.hasOpenBatch && !lane.fitsTimestamp(timestamp)) lane.publish()
    if (lane.isNamed) lane.turnTo(options.sequence, 1)
    let length = -1
    let at: number
    let room = GUESS_BYTES
    // A codec that learns the length by writing gets what room there is, and asks for more where that does not do.
    if (codec === CODECS.bytes) room = codec.encode(value).length
    for (;;) {
      at = lane.reserve(recordBytes(room, keyLength, headersLength))
      if (at === FULL) return false
      if (at === CLOSED) this.#requireLane(lane)
      if (at === TOO_LARGE) return this.#putLarge(lane, value, codec, key, headers, options)
      const valueAt = at + RECORD_HEADER_BYTES + keyLength + headersLength
      length = codec.put(value, lane.region, valueAt, lane.limit)
      if (length >= 0) break
      room = codec.encode(value).length
    }
    if (timestamp !== undefined && !lane.hasOpenBatch) lane.setTimestampFirst(timestamp)
    const delta = timestamp === undefined ? 0 : timestamp - lane.timestampFirst
    const end = at + recordBytes(length, keyLength, headersLength)
    let next = writeRecordHeader(
      lane.region,
      at,
      length,
      key === undefined ? LENGTH_NULL : keyLength,
      headers === undefined ? LENGTH_NULL : headersLength,
      delta,
    )
    if (key !== undefined) {
      lane.region.u8.set(key, next)
      next += keyLength
    }
    if (headers !== undefined) {
      lane.region.u8.set(headers, next)
      next += headersLength
    }
    padRecord(lane.region, next + length, end)
    lane.add(end, timestamp ?? lane.timestampFirst, level)
    if (lane.isLookDue() && lane.isWriterIdle) lane.publish()
    else if (!this.#publishIsDue) this.#publishAtTurnEnd()
    return true
  }

  /** A record that no lane holds travels in memory of its own. */
  #putLarge(
    lane: PartitionLane,
    value: unknown,
    codec: ValueCodec,
    key: Uint8Array | undefined,
    headers: Uint8Array | undefined,
    options: RecordOptions,
  ): boolean {
    const bytes = codec.encode(value)
    return this.#sendEncodedBatch(lane, [bytes], key, headers, options)
  }

  /** Sends values to one partition as one batch, and returns its lane; undefined where there is no room. */
  sendBatch(values: readonly unknown[], options: RecordOptions): PartitionLane | undefined {
    this.#options.requireOpen()
    if (options.sequence !== undefined) this.#checkSequence(options.sequence)
    const key = encodeKey(options.key)
    const partition = this.#choosePartition(key)
    const lane = this.#lane(partition)
    const encoded = values.map((value) => this.#codec.encode(value))
    if (!this.#sendEncodedBatch(lane, encoded, key, encodeHeaders(options.headers), options)) {
      this.#fullPartition = partition
      return undefined
    }
    this.lastPartition = partition
    return lane
  }

  #sendEncodedBatch(
    lane: PartitionLane,
    values: Uint8Array[],
    key: Uint8Array | undefined,
    headers: Uint8Array | undefined,
    options: RecordOptions,
  ): boolean {
    this.#requireLane(lane)
    let batchBytes = BATCH_HEADER_BYTES
    for (const value of values) {
      const bytes = value.length + (key?.length ?? 0) + (headers?.length ?? 0)
      if (bytes > RECORD_BYTES_MAX) throw recordTooLarge(bytes)
      batchBytes += recordBytes(value.length, key?.length ?? 0, headers?.length ?? 0)
    }
    if (batchBytes > BATCH_BYTES_MAX) throw batchTooLarge(batchBytes)
    const isLarge = batchBytes > lane.batchBytesMax
    if (isLarge && !lane.canSendLarge()) return false
    const timestampMs = options.timestamp === undefined ? Date.now() : checkTimestamp(options.timestamp)
    const level = recordLevel(options.durability)
    if (lane.isNamed) lane.turnTo(options.sequence, values.length)
    // The lane completes the header.
    const origin = { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs }
    // What is too large for the lane may have to travel in the memory that it is encoded in.
    const region = isLarge ? new Region(new SharedArrayBuffer(batchBytes)) : Region.allocate(batchBytes)
    const records = values.map((value) => ({ value, key, headers }))
    const batch = { region, length: encodeBatchInto(region, 0, records, origin) }
    return lane.sendBatch(batch, values.length, { first: timestampMs, max: timestampMs }, level)
  }

  #lane(partition: number): PartitionLane {
    let lane = this.lanes[partition]
    if (lane === undefined) {
      this.#options.requireOpen()
      lane = this.#options.openLane(partition)
      this.lanes[partition] = lane
    }
    return lane
  }

  #choosePartition(key: Uint8Array | undefined): number {
    if (this.#fixed !== undefined) return this.#fixed
    const count = this.lanes.length
    if (key !== undefined) return partitionOfKey(key, count)
    const partition = this.#nextPartition
    this.#nextPartition = partition + 1 === count ? 0 : partition + 1
    return partition
  }

  /** Throws the reason why the lane takes nothing new. */
  #requireLane(lane: PartitionLane): void {
    this.#options.requireOpen()
    if (lane.hasWriterFailed) throw decodeRefusal(encodeRefusal('writer'), `${this.#options.topic}/${lane.partition}`)
  }

  #checkSequence(sequence: number): void {
    if (!this.#options.takesSequences) {
      throw new WalrusError(
        'INVALID_ARGUMENT',
        'a record has a sequence with a producer that has a producerId and writes to one partition; give it both, or leave the sequence out',
        { field: 'sequence' },
      )
    }
    if (Number.isSafeInteger(sequence) && sequence >= 0) return
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `a sequence is a whole number from 0 on, ${sequence} was given; count the producer's records`,
      { field: 'sequence' },
    )
  }

  #publishAtTurnEnd(): void {
    this.#publishIsDue = true
    queueMicrotask(this.#publishDue)
  }

  readonly #publishDue = (): void => {
    this.#publishIsDue = false
    this.publishAll()
  }
}

/** Room that is asked for first for a value whose length shows only when it is encoded. */
const GUESS_BYTES = 64

function recordLevel(durability: RecordOptions['durability']): number {
  if (durability === undefined) return 0
  if (durability === 'none' || durability === 'os' || durability === 'disk') return durabilityLevel(durability)
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a record's durability is 'none', 'os' or 'disk', ${JSON.stringify(durability)} was given; take one of these`,
    { field: 'durability' },
  )
}

function checkTimestamp(timestamp: number): number {
  if (Number.isSafeInteger(timestamp) && timestamp >= 0) return timestamp
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a timestamp is a whole number of milliseconds since 1970, ${timestamp} was given; round it`,
    { field: 'timestamp' },
  )
}
