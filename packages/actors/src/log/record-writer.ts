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
  writeRecordHeader,
} from '@walrus-log/core'
import { decodeRefusal, encodeRefusal } from '../writer/outcome.js'
import { CODECS, isBytes, type PreparedValue, preparedBytes, putPrepared, type ValueCodec } from './codec.js'
import { type GivenOptions, takeOptions } from './given-options.js'
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
    if (!isBytes(value)) return false
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
    const { key, headers, timestamp, level, sequence } = takeOptions(options, this.#options.takesSequences)
    const prepared = isNoValue(value, key) ? NO_VALUE : codec.prepare(value)
    const first = this.#choosePartition(key)
    let partition = first
    // Without a key any partition will do: one whose lane is full does not hold the others up.
    do {
      const lane = this.#lane(partition)
      if (this.#putInto(lane, prepared, key, headers, timestamp, level, sequence)) {
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
    value: PreparedValue,
    key: Uint8Array | undefined,
    headers: Uint8Array | undefined,
    timestampGiven: number | undefined,
    level: number,
    sequence: number | undefined,
  ): boolean {
    const keyLength = key === undefined ? 0 : key.length
    const headersLength = headers === undefined ? 0 : headers.length
    const timestamp = timestampGiven === undefined && lane.hasGivenTime ? Date.now() : timestampGiven
    if (timestamp !== undefined && lane.hasOpenBatch && !lane.fitsTimestamp(timestamp)) lane.publish()
    if (lane.isNamed) lane.turnTo(sequence, 1)
    let length = -1
    let at: number
    // Text learns its length by being written: it gets what room there is, and asks for more where that does not do.
    let room = typeof value === 'string' ? GUESS_BYTES : value.length
    for (;;) {
      at = lane.reserve(recordBytes(room, keyLength, headersLength))
      if (at === FULL) return false
      if (at === CLOSED) this.#requireLane(lane)
      if (at === TOO_LARGE) {
        // A record that no lane holds travels in memory of its own.
        const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
        return this.#sendEncodedBatch(lane, [bytes], { key, headers, timestamp: timestampGiven, level, sequence })
      }
      const valueAt = at + RECORD_HEADER_BYTES + keyLength + headersLength
      length = putPrepared(value, lane.region, valueAt, lane.limit)
      if (length >= 0) break
      room = preparedBytes(value)
    }
    if (timestamp !== undefined && !lane.hasOpenBatch) lane.setTimestampFirst(timestamp)
    const delta = timestamp === undefined ? 0 : timestamp - lane.timestampFirst
    const end = at + recordBytes(length, keyLength, headersLength)
    let next = writeRecordHeader(
      lane.region,
      at,
      value === NO_VALUE ? LENGTH_NULL : length,
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

  /** Sends values to one partition as one batch, and returns its lane; undefined where there is no room. */
  sendBatch(values: readonly unknown[], options: RecordOptions): PartitionLane | undefined {
    this.#options.requireOpen()
    const given = { ...takeOptions(options, this.#options.takesSequences) }
    const encoded = values.map((value) => (isNoValue(value, given.key) ? NO_VALUE : this.#codec.encode(value)))
    const partition = this.#choosePartition(given.key)
    const lane = this.#lane(partition)
    if (!this.#sendEncodedBatch(lane, encoded, given)) {
      this.#fullPartition = partition
      return undefined
    }
    this.lastPartition = partition
    return lane
  }

  #sendEncodedBatch(lane: PartitionLane, values: Uint8Array[], given: GivenOptions): boolean {
    const { key, headers, level, sequence } = given
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
    const timestampMs = given.timestamp ?? Date.now()
    if (lane.isNamed) lane.turnTo(sequence, values.length)
    // The lane completes the header.
    const origin = { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs }
    // What is too large for the lane may have to travel in the memory that it is encoded in.
    const region = isLarge ? new Region(new SharedArrayBuffer(batchBytes)) : Region.allocate(batchBytes)
    const records = values.map((value) => ({ value: value === NO_VALUE ? null : value, key, headers }))
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

  #publishAtTurnEnd(): void {
    this.#publishIsDue = true
    queueMicrotask(this.#publishDue)
  }

  readonly #publishDue = (): void => {
    this.#publishIsDue = false
    this.publishAll()
  }
}

/** `null` with a key is a record without a value: a tombstone, whatever the codec would make of it. */
const isNoValue = (value: unknown, key: Uint8Array | undefined): boolean => value === null && key !== undefined

/** Stands for no value where bytes are expected. */
const NO_VALUE = new Uint8Array(0)

/** Room that is asked for first for a value whose length shows only when it is encoded. */
const GUESS_BYTES = 64
