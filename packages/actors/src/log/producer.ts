import { isMainThread } from 'node:worker_threads'
import { checkProducerName, shown, WalrusError } from '@walrus-log/core'
import { blockUntilRung, type Waiter } from '../lane/doorbell.js'
import { CLIENT_BLOCKED_FOR_AT, CLIENT_DOORBELL_AT, clientAt } from '../memory/layout.js'
import { decodeRefusal, isFenced } from '../writer/outcome.js'
import { CODECS } from './codec.js'
import { closedError, type LogClient, type OpenProducer, type TopicPlace } from './log-client.js'
import { NO_RECORD_OPTIONS, type ProducerOptions, type RecordOptions } from './options.js'
import type { PartitionLane } from './partition-lane.js'
import { anonymousIdentity, type ProducerIdentity, ProducerName } from './producer-name.js'
import { RecordWriter } from './record-writer.js'
import { isTurnOver, nextTurn } from './turn.js'

/** Where an append went. */
export interface Ack {
  partition: number
  offset: number
  /** Milliseconds since 1970. */
  timestamp: number
  /** A named producer's record that had been there before: `offset` is where it is, or -1 where nobody remembers. */
  duplicate?: true
}

/** An append that waits for room; what waits keeps its order. */
interface WaitingAppend {
  send: () => boolean
  reject: (error: unknown) => void
}

/**
 * Sends records of one topic from one thread. Owned by the thread that made it.
 *
 * `send` copies a record into the lane and says whether there was room; `append` also says when and where the record is
 * as durable as promised. Both keep the order in which they were called, within a partition.
 */
export class Producer<Value = unknown> implements Waiter, OpenProducer {
  readonly #client: LogClient
  readonly #topic: TopicPlace
  readonly #records: RecordWriter
  readonly #waiting: WaitingAppend[] = []
  readonly #ready: (() => void)[] = []
  readonly #flushes: { resolve: () => void; reject: (error: unknown) => void }[] = []
  /** The partition that all records go to, if there is one. */
  readonly #fixed: number | undefined
  readonly #onClose: (producer: OpenProducer) => void
  readonly #identity: ProducerIdentity | undefined
  readonly #name: ProducerName | undefined
  #isClosed = false
  /** What was sent before is still settled, and nothing more is taken: or a busy sender would keep it open for ever. */
  #closing: Promise<void> | undefined
  /** Nothing can be sent now: the producer is closed, or its name is not open, or somebody else's by now. */
  #isBlocked = false
  #isPolling = false
  #refusal: WalrusError | undefined
  #refusedRecords = 0

  constructor(
    client: LogClient,
    topic: TopicPlace,
    options: ProducerOptions,
    onClose: (producer: OpenProducer) => void,
  ) {
    const { partition, producerId } = options
    if (producerId !== undefined) checkProducerName(producerId)
    if (partition !== undefined && partition >= topic.partitions.length) {
      throw new WalrusError(
        'INVALID_ARGUMENT',
        `topic ${topic.config.name} has partitions 0 to ${topic.partitions.length - 1}, ${partition} was given; take one of these`,
        { field: 'partition' },
      )
    }
    if (producerId === undefined) {
      this.#identity = anonymousIdentity()
    } else {
      this.#name = new ProducerName(client, topic, producerId, partition)
      this.#isBlocked = true
      void this.#name.opening.then(() => this.#begin())
    }
    this.#client = client
    this.#fixed = partition
    this.#topic = topic
    this.#records = new RecordWriter({
      topic: topic.config.name,
      partitions: topic.partitions.length,
      codec: CODECS[topic.config.codec],
      takesSequences: producerId !== undefined && (partition !== undefined || topic.partitions.length === 1),
      fixed: partition,
      openLane: (number) => this.#openLane(number),
      requireOpen: () => this.#requireOpen(),
    })
    this.#onClose = onClose
  }

  /** Names this producer in the batches that it sends. Throws where it has a name that is not open yet. */
  get id(): number {
    return (this.#identity ?? this.#name!.require()).id
  }

  /**
   * Of a named producer, when it is `ready()`: the last sequence that is acknowledged in each partition, whoever sent it
   * under this name; -1 where there is none. An ingest goes on with the next.
   */
  get lastSequences(): readonly number[] {
    if (this.#name === undefined)
      throw new WalrusError('INVALID_ARGUMENT', 'only a producer with a producerId has sequences; give it one', {
        field: 'producerId',
      })
    const { lastSequences } = this.#name.require()
    return lastSequences.map((told, partition) => this.#records.lanes[partition]?.lastSequence ?? told)
  }

  /** The same for the one partition that the producer writes to. */
  get lastSequence(): number {
    const { lastSequences } = this
    const partition = this.#fixed ?? 0
    if (this.#fixed !== undefined || lastSequences.length === 1) return lastSequences[partition]
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `the producer writes to ${lastSequences.length} partitions; look at lastSequences, or bind it to one partition`,
      { field: 'partition' },
    )
  }

  /** The partition that the last record went to; -1 before the first. */
  get lastPartition(): number {
    return this.#records.lastPartition
  }

  /**
   * Copies a record into its lane. Returns false where nothing was taken: the lane is full, or the main thread's turn has
   * lasted long enough; `ready()` resolves when there is room. The value is encoded during the call and not kept.
   * Throws `INVALID_ARGUMENT`, `RECORD_TOO_LARGE`, `CLOSED`, `WRITER_FAILED`.
   */
  send(value: Value | null, options: RecordOptions = NO_RECORD_OPTIONS): boolean {
    if (this.#isBlocked || this.#closing !== undefined || this.#waiting.length > 0 || isTurnOver())
      return this.#takesNothing()
    return this.#records.send(value, options)
  }

  /** The same with a value that is in the codec's encoding already: its bytes are copied as they are. */
  sendEncoded(bytes: Uint8Array, options: RecordOptions = NO_RECORD_OPTIONS): boolean {
    if (this.#isBlocked || this.#closing !== undefined || this.#waiting.length > 0 || isTurnOver())
      return this.#takesNothing()
    return this.#records.sendEncoded(bytes, options)
  }

  /** Resolves when `send` would find room; a name is open then. Rejects with the reason why there never will be. */
  async ready(): Promise<void> {
    this.#requireTaking()
    if (this.#name?.isOpening) {
      await this.#name.opening
      this.#requireTaking()
    }
    this.#records.publishAll()
    if (isMainThread || this.#records.hasRoom) await nextTurn()
    while (!this.#records.hasRoom) {
      this.#requireTaking()
      await new Promise<void>((resolve) => {
        this.#ready.push(resolve)
        this.#client.doorbell.add(this)
      })
    }
    this.#requireTaking()
  }

  /**
   * Blocks the calling thread until `send` would find room, or `timeoutMs` is over; returns whether there is. For worker
   * threads whose own loop does nothing else; throws on the main thread.
   */
  readySync(timeoutMs?: number): boolean {
    if (isMainThread)
      throw new WalrusError('INVALID_ARGUMENT', 'readySync would block the main thread; await ready() there', {
        field: 'thread',
      })
    if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0)) {
      throw new WalrusError(
        'INVALID_ARGUMENT',
        `a timeout is a number of milliseconds from 0 on, ${shown(timeoutMs)} was given; leave it out to wait without one`,
        { field: 'timeoutMs' },
      )
    }
    this.#requireTaking()
    this.#name?.require()
    this.#records.publishAll()
    const lane = this.#records.fullLane
    if (lane === undefined) return true
    const { words } = this.#client.memory
    const doorbellAt = clientAt(this.#client.client) + CLIENT_DOORBELL_AT
    const blockedForAt = clientAt(this.#client.client) + CLIENT_BLOCKED_FOR_AT
    const endMs = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs
    while (!lane.hasRoom()) {
      this.#requireTaking()
      const leftMs = Math.min(endMs - performance.now(), BLOCK_MS_MAX)
      if (leftMs <= 0) return false
      Atomics.store(words, blockedForAt, lane.lane + 1)
      blockUntilRung(words, doorbellAt, () => lane.hasRoom(), leftMs)
      Atomics.store(words, blockedForAt, 0)
    }
    return true
  }

  /** Appends one record. Resolves when it is as durable as the topic, or the option, promises. */
  append(value: Value | null, options: RecordOptions = NO_RECORD_OPTIONS): Promise<Ack> {
    return new Promise((resolve, reject) => {
      const send = (): boolean => {
        this.#requireOpen()
        if (!this.#records.send(value, options)) return false
        this.#awaitAck(this.#records.lastLane, resolve, reject)
        return true
      }
      this.#sendOrWait(send, reject)
    })
  }

  /** Appends records to one partition as one batch: all or none, at consecutive offsets. */
  appendBatch(values: readonly (Value | null)[], options: RecordOptions = NO_RECORD_OPTIONS): Promise<Ack[]> {
    return new Promise((resolve, reject) => {
      // The records are those that the array holds now, also where there is no room yet.
      const records = copyOf(values)
      if (records.length === 0) return resolve([])
      const acks: Ack[] = []
      const send = (): boolean => {
        const lane = this.#records.sendBatch(records, options)
        if (lane === undefined) return false
        this.#awaitAck(
          lane,
          (ack) => {
            for (let index = 0; index < records.length; index++)
              acks.push({ ...ack, offset: ack.offset < 0 ? ack.offset : ack.offset + index })
            resolve(acks)
          },
          reject,
        )
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
      this.#records.publishAll()
      this.#flushes.push({ resolve, reject })
      this.#client.doorbell.add(this)
    })
  }

  /** Flushes, and gives the lanes back. Nothing can be sent from the call on. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#name?.isOpening) await this.#name.opening
    try {
      if (!this.#client.isClosed) await this.flush()
    } finally {
      this.leave()
      // What has a place in a lane is the writers' to settle; what waits for one will have none.
      for (const { reject } of this.#waiting.splice(0)) reject(closedError())
      // As the log closes, its end refuses what no writer has settled.
      if (!this.hasUnsettled) this.#onClose(this)
    }
  }

  /** Takes nothing any more, and gives back the lanes of which all is settled. */
  leave(): void {
    this.#isClosed = true
    this.#isBlocked = true
    this.#records.lanes.forEach((lane, partition) => {
      if (lane === undefined || this.#client.isClosed) return
      lane.collect()
      if (!lane.hasOpenBatch && !lane.hasUnsettled)
        this.#client.closeLane(lane, this.#topic.partitions[partition].writer)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Whether anything sent is not settled yet. */
  get hasUnsettled(): boolean {
    return (
      this.#waiting.length > 0 ||
      this.#records.lanes.some((lane) => lane !== undefined && (lane.hasOpenBatch || lane.hasUnsettled))
    )
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
    for (const lane of this.#records.lanes) lane?.collect()
    this.#sendWaiting()
    if (this.#ready.length > 0 && (this.#records.hasRoom || this.#client.isClosed)) {
      for (const resolve of this.#ready.splice(0)) resolve()
    }
    if (this.#flushes.length > 0 && !this.hasUnsettled) this.#endFlushes()
    return this.#hasPending() || this.#waiting.length > 0 || this.#ready.length > 0 || this.#flushes.length > 0
  }

  /** Whether an append waits for its acknowledgement, be its batch published or still open. */
  #hasPending(): boolean {
    for (const lane of this.#records.lanes) if (lane?.hasPending) return true
    return false
  }

  /** Refuses everything that still waits: the log is closed and nobody is left to settle it. */
  abandon(outcome: number): void {
    this.poll()
    for (const lane of this.#records.lanes) lane?.refusePending(outcome)
    for (const { reject } of this.#waiting.splice(0)) reject(closedError())
    for (const resolve of this.#ready.splice(0)) resolve()
    if (this.hasUnsettled) this.#refusal ??= closedError()
    if (this.#flushes.length > 0) this.#endFlushes()
    this.#isClosed = true
    this.#isBlocked = true
  }

  #endFlushes(): void {
    const error = this.#refusal
    const refused = this.#refusedRecords
    this.#refusal = undefined
    this.#refusedRecords = 0
    for (const { resolve, reject } of this.#flushes.splice(0)) {
      if (error === undefined) resolve()
      else
        reject(
          new WalrusError(
            error.code,
            `${error.message.slice(error.code.length + 2)} (${refused} records sent were not acknowledged)`,
            { cause: error.cause, unacknowledged: refused },
          ),
        )
    }
  }

  #openLane(partition: number): PartitionLane {
    const where = `${this.#topic.config.name}/${partition}`
    const { id, epoch, lastSequences } = this.#identity ?? this.#name!.require()
    const producer = { producerId: id, epoch, sequenceNext: (lastSequences[partition] ?? -1) + 1 }
    return this.#client.openLane(this.#topic.partitions[partition], producer, (outcome, recordCount) => {
      const error = decodeRefusal(outcome, where)
      if (isFenced(outcome)) this.#fail(error)
      this.#refusal ??= error
      this.#refusedRecords += recordCount
    })
  }

  /** Why nothing is sent now: there is no room yet, or there never will be, which throws. */
  #takesNothing(): false {
    this.#requireTaking()
    return false
  }

  #requireTaking(): void {
    if (this.#closing !== undefined) throw new WalrusError('CLOSED', 'the producer is closed; make another one')
    this.#requireOpen()
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new WalrusError('CLOSED', 'the producer is closed; make another one')
    this.#client.requireOpen()
    if (this.#name?.error !== undefined) throw this.#name.error
  }

  /** The opening of the name is over: what waited for it is sent, or refused. */
  #begin(): void {
    if (this.#name!.error !== undefined) return this.#fail(this.#name!.error)
    if (this.#isClosed) return
    this.#isBlocked = false
    this.#client.doorbell.add(this)
  }

  /** Nothing is sent under the name any more. */
  #fail(error: unknown): void {
    this.#name!.error = error
    this.#isBlocked = true
    for (const { reject } of this.#waiting.splice(0)) reject(error)
    this.#client.doorbell.add(this)
  }

  #sendOrWait(send: () => boolean, reject: (error: unknown) => void): void {
    try {
      this.#requireTaking()
      if (this.#waiting.length === 0 && !this.#isBlocked && send()) return
    } catch (error) {
      reject(error)
      return
    }
    this.#waiting.push({ send, reject })
    this.#records.publishAll()
    this.#client.doorbell.add(this)
  }

  #sendWaiting(): void {
    if (this.#isBlocked) return
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
      settle: (outcome, at, timestampMs, isDuplicate) => {
        if (outcome >= 0) {
          const ack: Ack = { partition, offset: Number.isInteger(outcome) ? outcome + at : -1, timestamp: timestampMs }
          if (isDuplicate) ack.duplicate = true
          resolve(ack)
        } else reject(decodeRefusal(outcome, `${name}/${partition}`))
      },
    })
    this.#client.doorbell.add(this)
  }
}

function copyOf<Value>(values: readonly Value[]): Value[] {
  let cause: unknown
  try {
    if (Array.isArray(values)) return Array.from(values)
  } catch (error) {
    cause = error
  }
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `appendBatch takes an array of values, ${shown(values)} was given; use append() for one value`,
    { field: 'values', cause },
  )
}

/** How long a blocked sender sleeps before it looks again whether the log was closed. */
const BLOCK_MS_MAX = 1000
