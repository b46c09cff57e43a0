import { isMainThread } from 'node:worker_threads'
import { BATCH_BYTES_MAX, BATCH_HEADER_BYTES, encodeBatch, LENGTH_NULL, padRecord, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, recordBytes, WalrusError, writeRecordHeader } from '@walrus-log/core'
import { blockUntilRung, type Waiter } from '../lane/doorbell.js'
import { CLIENT_DOORBELL_AT, clientAt } from '../memory/layout.js'
import { durabilityLevel } from '../writer/durability.js'
import { decodeRefusal, encodeRefusal } from '../writer/outcome.js'
import { CODECS, encodeHeaders, encodeKey, type ValueCodec } from './codec.js'
import { closedError, type LogClient, randomProducerId, type TopicPlace } from './log-client.js'
import { type ProducerOptions, type RecordOptions, batchTooLarge, recordTooLarge } from './options.js'
import { CLOSED, FULL, type PartitionLane, TOO_LARGE } from './partition-lane.js'
import { partitionOfKey } from './partitioner.js'
import { isTurnOver, nextTurn } from './turn.js'

/** Where an append went. */
export interface Ack {
  partition: number
  offset: number
  /** Milliseconds since 1970. */
  timestamp: number
}

/** An append that waits for room; what waits keeps its order. */
interface WaitingAppend {
  send: () => boolean
  reject: (error: unknown) => void
}

const NO_OPTIONS: RecordOptions = Object.freeze({})

/**
 * Sends records of one topic from one thread. Owned by the thread that made it.
 *
 * `send` copies a record into the lane and says whether there was room; `append` also says when and where the record is
 * as durable as promised. Both keep the order in which they were called, within a partition.
 */
export class Producer<Value = unknown> implements Waiter {
  /** Names this producer in the batches that it sends. */
  readonly id: number
  /** The partition that the last record went to; -1 before the first. */
  lastPartition = -1
  readonly #client: LogClient
  readonly #topic: TopicPlace
  readonly #codec: ValueCodec
  readonly #lanes: (PartitionLane | undefined)[]
  readonly #fixed: number | undefined
  readonly #waiting: WaitingAppend[] = []
  readonly #ready: (() => void)[] = []
  readonly #flushes: { resolve: () => void; reject: (error: unknown) => void }[] = []
  readonly #onClose: (producer: Producer<never>) => void
  #nextPartition = 0
  #fullPartition = -1
  #isClosed = false
  #publishIsDue = false
  #isPolling = false
  #refusal: WalrusError | undefined
  #refusedRecords = 0

  constructor(client: LogClient, topic: TopicPlace, options: ProducerOptions, onClose: (producer: Producer<never>) => void) {
    const { partition } = options
    if (partition !== undefined && partition >= topic.partitions.length) {
      throw new WalrusError('INVALID_ARGUMENT', `topic ${topic.config.name} has partitions 0 to ${topic.partitions.length - 1}, ${partition} was given; take one of these`, { field: 'partition' })
    }
    this.id = randomProducerId()
    this.#client = client
    this.#topic = topic
    this.#codec = CODECS[topic.config.codec]
    this.#lanes = topic.partitions.map(() => undefined)
    this.#fixed = partition
    this.#onClose = onClose
  }

  /**
   * Copies a record into its lane. Returns false where nothing was taken: the lane is full, or the main thread's turn has
   * lasted long enough; `ready()` resolves when there is room. The value is encoded during the call and not kept.
   * Throws `INVALID_ARGUMENT`, `RECORD_TOO_LARGE`, `CLOSED`, `WRITER_FAILED`.
   */
  send(value: Value, options: RecordOptions = NO_OPTIONS): boolean {
    if (this.#waiting.length > 0 || isTurnOver()) return false
    if (options === NO_OPTIONS && this.#codec === CODECS.bytes && this.#addPlain(value)) return true
    return this.#put(value, this.#codec, options)
  }

  /** The same with a value that is in the codec's encoding already: its bytes are copied as they are. */
  sendEncoded(bytes: Uint8Array, options: RecordOptions = NO_OPTIONS): boolean {
    if (this.#waiting.length > 0 || isTurnOver()) return false
    if (options === NO_OPTIONS && this.#addPlain(bytes)) return true
    return this.#put(bytes, CODECS.bytes, options)
  }

  /** Resolves when `send` would find room. Rejects with `CLOSED` when there never will be. */
  async ready(): Promise<void> {
    this.#requireOpen()
    this.#publishAll()
    if (isMainThread || this.#hasRoom()) await nextTurn()
    while (!this.#hasRoom()) {
      this.#requireOpen()
      await new Promise<void>((resolve) => {
        this.#ready.push(resolve)
        this.#client.doorbell.add(this)
      })
    }
    this.#requireOpen()
  }

  /**
   * Blocks the calling thread until `send` would find room, or `timeoutMs` is over; returns whether there is. For worker
   * threads whose own loop does nothing else; throws on the main thread.
   */
  readySync(timeoutMs?: number): boolean {
    if (isMainThread) throw new WalrusError('INVALID_ARGUMENT', 'readySync would block the main thread; await ready() there', { field: 'thread' })
    this.#requireOpen()
    this.#publishAll()
    const lane = this.#fullPartition < 0 ? undefined : this.#lanes[this.#fullPartition]
    if (lane === undefined) return true
    const { words } = this.#client.memory
    const doorbellAt = clientAt(this.#client.client) + CLIENT_DOORBELL_AT
    const endMs = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs
    while (!lane.hasRoom()) {
      this.#requireOpen()
      const leftMs = Math.min(endMs - performance.now(), BLOCK_MS_MAX)
      if (leftMs <= 0) return false
      blockUntilRung(words, doorbellAt, () => lane.hasRoom(), leftMs)
    }
    return true
  }

  /** Appends one record. Resolves when it is as durable as the topic, or the option, promises. */
  append(value: Value, options: RecordOptions = NO_OPTIONS): Promise<Ack> {
    return new Promise((resolve, reject) => {
      const send = (): boolean => {
        if (!this.#put(value, this.#codec, options)) return false
        const lane = this.#lanes[this.lastPartition] as PartitionLane
        this.#awaitAck(lane, resolve, reject)
        return true
      }
      this.#sendOrWait(send, reject)
    })
  }

  /** Appends records to one partition as one batch: all or none, at consecutive offsets. */
  appendBatch(values: readonly Value[], options: RecordOptions = NO_OPTIONS): Promise<Ack[]> {
    if (values.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const acks: Ack[] = []
      const send = (): boolean => {
        const lane = this.#putBatch(values, options)
        if (lane === undefined) return false
        this.#awaitAck(lane, (ack) => {
          for (let index = 0; index < values.length; index++) acks.push({ ...ack, offset: ack.offset + index })
          resolve(acks)
        }, reject)
        return true
      }
      this.#sendOrWait(send, reject)
    })
  }

  /**
   * Resolves when all that was sent is acknowledged. Rejects where something sent was refused since the last `flush`:
   * `error.unacknowledged` says how many records.
   */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed && this.#refusal === undefined) return reject(closedError())
      this.#publishAll()
      this.#flushes.push({ resolve, reject })
      this.#client.doorbell.add(this)
    })
  }

  /** Flushes, and gives the lanes back. Nothing can be sent afterwards. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    try {
      if (!this.#client.isClosed) await this.flush()
    } finally {
      this.#isClosed = true
      this.#lanes.forEach((lane, partition) => {
        if (lane !== undefined && !lane.hasUnsettled && !this.#client.isClosed) {
          this.#client.closeLane(lane, this.#topic.partitions[partition].writer)
        }
      })
      this.#onClose(this as unknown as Producer<never>)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Whether anything sent is not settled yet. */
  get hasUnsettled(): boolean {
    return this.#waiting.length > 0 || this.#lanes.some((lane) => lane !== undefined && (lane.hasOpenBatch || lane.hasUnsettled))
  }

  /** For the doorbell: settles what can be settled, and says whether it still waits. */
  poll(): boolean {
    // What is sent from here asks to be polled, which is what happens already.
    if (this.#isPolling) return true
    this.#isPolling = true
    try {
      return this.#poll()
    } finally {
      this.#isPolling = false
    }
  }

  #poll(): boolean {
    for (const lane of this.#lanes) lane?.collect()
    this.#sendWaiting()
    if (this.#ready.length > 0 && (this.#hasRoom() || this.#client.isClosed)) {
      for (const resolve of this.#ready.splice(0)) resolve()
    }
    if (this.#flushes.length > 0 && !this.hasUnsettled) this.#endFlushes()
    return this.#hasPending() || this.#waiting.length > 0 || this.#ready.length > 0 || this.#flushes.length > 0
  }

  /** Whether an append waits for its acknowledgement, be its batch published or still open. */
  #hasPending(): boolean {
    for (const lane of this.#lanes) if (lane?.hasPending) return true
    return false
  }

  /** Refuses everything that still waits: the log is closed and nobody is left to settle it. */
  abandon(outcome: number): void {
    this.poll()
    for (const lane of this.#lanes) lane?.refusePending(outcome)
    for (const { reject } of this.#waiting.splice(0)) reject(closedError())
    for (const resolve of this.#ready.splice(0)) resolve()
    if (this.hasUnsettled) this.#refusal ??= closedError()
    if (this.#flushes.length > 0) this.#endFlushes()
    this.#isClosed = true
  }

  #endFlushes(): void {
    const error = this.#refusal
    const refused = this.#refusedRecords
    this.#refusal = undefined
    this.#refusedRecords = 0
    for (const { resolve, reject } of this.#flushes.splice(0)) {
      if (error === undefined) resolve()
      else reject(new WalrusError(error.code, `${error.message.slice(error.code.length + 2)} (${refused} records sent were not acknowledged)`, { cause: error.cause, unacknowledged: refused }))
    }
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new WalrusError('CLOSED', 'the producer is closed; make another one')
    this.#client.requireOpen()
  }

  /** Throws the reason why the lane takes nothing new. */
  #requireLane(lane: PartitionLane): void {
    this.#requireOpen()
    if (lane.hasWriterFailed) throw decodeRefusal(encodeRefusal('writer'), `${this.#topic.config.name}/${lane.partition}`)
  }

  #hasRoom(): boolean {
    if (this.#fullPartition < 0) return true
    const lane = this.#lanes[this.#fullPartition]
    return lane === undefined || lane.hasRoom()
  }

  #lane(partition: number): PartitionLane {
    let lane = this.#lanes[partition]
    if (lane === undefined) {
      this.#requireOpen()
      const place = this.#topic.partitions[partition]
      const where = `${this.#topic.config.name}/${partition}`
      lane = this.#client.openLane(place, this.id, (outcome, recordCount) => {
        this.#refusal ??= decodeRefusal(outcome, where)
        this.#refusedRecords += recordCount
      })
      this.#lanes[partition] = lane
    }
    return lane
  }

  #choosePartition(key: Uint8Array | undefined): number {
    if (this.#fixed !== undefined) return this.#fixed
    const count = this.#lanes.length
    if (key !== undefined) return partitionOfKey(key, count)
    const partition = this.#nextPartition
    this.#nextPartition = partition + 1 === count ? 0 : partition + 1
    return partition
  }

  /**
   * The hottest path: bytes without key, headers or time of their own, into a batch that is open and has room. Returns
   * false where it is not that simple.
   */
  #addPlain(value: unknown): boolean {
    if (!(value instanceof Uint8Array)) return false
    const partition = this.#fixed ?? this.#nextPartition
    const lane = this.#lanes[partition]
    if (lane === undefined || !lane.addPlain(value)) return false
    this.lastPartition = partition
    if (this.#fixed === undefined) this.#nextPartition = partition + 1 === this.#lanes.length ? 0 : partition + 1
    if (lane.isLookDue() && lane.isWriterIdle) lane.publish()
    else if (!this.#publishIsDue) this.#publishAtTurnEnd()
    return true
  }

  /** Copies a record into the lane of its partition, or returns false. Nothing here makes an object. */
  #put(value: unknown, codec: ValueCodec, options: RecordOptions): boolean {
    if (this.#isClosed) this.#requireOpen()
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
      partition = partition + 1 === this.#lanes.length ? 0 : partition + 1
    } while (partition !== first)
    this.#fullPartition = partition
    if (key === undefined) this.#nextPartition = first
    return false
  }

  #putInto(lane: PartitionLane, value: unknown, codec: ValueCodec, key: Uint8Array | undefined, headers: Uint8Array | undefined, options: RecordOptions): boolean {
    const keyLength = key === undefined ? 0 : key.length
    const headersLength = headers === undefined ? 0 : headers.length
    let { timestamp } = options
    const level = recordLevel(options.durability)
    if (timestamp !== undefined) checkTimestamp(timestamp)
    else if (lane.hasGivenTime) timestamp = Date.now()
    if (timestamp !== undefined && lane.hasOpenBatch && !lane.fitsTimestamp(timestamp)) lane.publish()
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
    let next = writeRecordHeader(lane.region, at, length, key === undefined ? LENGTH_NULL : keyLength, headers === undefined ? LENGTH_NULL : headersLength, delta)
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
  #putLarge(lane: PartitionLane, value: unknown, codec: ValueCodec, key: Uint8Array | undefined, headers: Uint8Array | undefined, options: RecordOptions): boolean {
    const bytes = codec.encode(value)
    return this.#sendEncodedBatch(lane, [bytes], key, headers, options)
  }

  #putBatch(values: readonly Value[], options: RecordOptions): PartitionLane | undefined {
    this.#requireOpen()
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

  #sendEncodedBatch(lane: PartitionLane, values: Uint8Array[], key: Uint8Array | undefined, headers: Uint8Array | undefined, options: RecordOptions): boolean {
    this.#requireLane(lane)
    let batchBytes = BATCH_HEADER_BYTES
    for (const value of values) {
      const bytes = value.length + (key?.length ?? 0) + (headers?.length ?? 0)
      if (bytes > RECORD_BYTES_MAX) throw recordTooLarge(bytes)
      batchBytes += recordBytes(value.length, key?.length ?? 0, headers?.length ?? 0)
    }
    const batchBytesMax = Math.min(BATCH_BYTES_MAX, lane.batchBytesEver)
    if (batchBytes > batchBytesMax) throw batchTooLarge(batchBytes, batchBytesMax)
    const timestampMs = options.timestamp === undefined ? Date.now() : checkTimestamp(options.timestamp)
    const level = recordLevel(options.durability)
    const origin = { producerId: this.id, producerEpoch: 0, sequenceFirst: 0, timestampMs }
    const batch = encodeBatch(values.map((value) => ({ value, key, headers })), origin)
    return lane.sendBatch(batch, values.length, { first: timestampMs, max: timestampMs }, level)
  }

  #sendOrWait(send: () => boolean, reject: (error: unknown) => void): void {
    try {
      if (this.#waiting.length === 0 && send()) return
    } catch (error) {
      reject(error)
      return
    }
    this.#waiting.push({ send, reject })
    this.#publishAll()
    this.#client.doorbell.add(this)
  }

  #sendWaiting(): void {
    let sent = 0
    for (const { send, reject } of this.#waiting) {
      try {
        if (!send()) break
      } catch (error) {
        reject(error)
      }
      sent++
    }
    if (sent > 0) this.#waiting.splice(0, sent)
  }

  #awaitAck(lane: PartitionLane, resolve: (ack: Ack) => void, reject: (error: unknown) => void): void {
    const { partition } = lane
    const { name } = this.#topic.config
    lane.await({
      batch: lane.lastBatch,
      index: lane.lastIndex,
      timestamp: lane.lastTimestamp,
      settle: (outcome, at, timestampMs) => {
        if (outcome >= 0) resolve({ partition, offset: outcome + at, timestamp: timestampMs })
        else reject(decodeRefusal(outcome, `${name}/${partition}`))
      },
    })
    this.#client.doorbell.add(this)
  }

  #publishAtTurnEnd(): void {
    this.#publishIsDue = true
    queueMicrotask(this.#publishDue)
  }

  readonly #publishDue = (): void => {
    this.#publishIsDue = false
    this.#publishAll()
  }

  #publishAll(): void {
    for (const lane of this.#lanes) lane?.publish()
  }
}

/** How long a blocked sender sleeps before it looks again whether the log was closed. */
const BLOCK_MS_MAX = 1000

/** Room that is asked for first for a value whose length shows only when it is encoded. */
const GUESS_BYTES = 64

function recordLevel(durability: RecordOptions['durability']): number {
  if (durability === undefined) return 0
  if (durability === 'none' || durability === 'os' || durability === 'disk') return durabilityLevel(durability)
  throw new WalrusError('INVALID_ARGUMENT', `a record's durability is 'none', 'os' or 'disk', ${JSON.stringify(durability)} was given; take one of these`, { field: 'durability' })
}

function checkTimestamp(timestamp: number): number {
  if (Number.isSafeInteger(timestamp) && timestamp >= 0) return timestamp
  throw new WalrusError('INVALID_ARGUMENT', `a timestamp is a whole number of milliseconds since 1970, ${timestamp} was given; round it`, { field: 'timestamp' })
}
