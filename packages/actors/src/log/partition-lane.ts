import {
  align8,
  BATCH_HEADER_BYTES,
  type BatchProperties,
  closeBatch,
  copyBytes,
  type EncodedBatch,
  LENGTH_NULL,
  RECORD_HEADER_BYTES,
  type Region,
  writeRecordHeader,
} from '@walrus-log/core'
import { isSleeping, ring } from '../lane/doorbell.js'
import { LaneWriter } from '../lane/lane-writer.js'
import { AtomicWords } from '../lane/layout.js'
import { OWN_MEMORY, RECORD_FRAMING, writeReference } from '../lane/record-lane.js'
import { LANE_ACKS_COUNT_AT, laneAt, WRITER_DOORBELL_AT, WRITER_READY_AT, writerAt } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { lanePlace } from '../writer/writer-lane.js'
import { BatchesInFlight, type OnRefused, type PendingAppend } from './batches-in-flight.js'
import { LaneSequence } from './lane-sequence.js'
import { LargeSends } from './large-sends.js'

/** A batch is published at this size at the latest: large enough that its header and checksum call do not count, small
 *  enough that several of them are under way in a lane. */
export const BATCH_PUBLISH_BYTES = 64 * 1024

const LOOK_BYTES = 4 * 1024

export const FULL = -1
export const TOO_LARGE = -2
export const CLOSED = -3

/** Who sends on a lane. */
export interface LaneProducer {
  producerId: number
  /** 0 for one without a name. */
  epoch: number
  /** Sequence of the first record. */
  sequenceNext: number
}

/**
 * The sending end of one record lane: one producer, one partition, one thread. Records go straight into the open batch in
 * the lane; the batch is closed and published as a whole.
 *
 * Invariant: while `batchAt >= 0`, the open batch's records lie in [batchAt + header, next), and it has the number
 * `lastBatch` as soon as it has a record.
 */
export class PartitionLane {
  readonly lane: number
  readonly partition: number
  /** Byte behind the last record of the open batch, and how far it may grow. */
  next = 0
  limit = 0
  recordCount = 0
  /** Where the last record went: batch number, place in the batch, and its time. */
  lastBatch = 0
  lastIndex = 0
  lastTimestamp = 0
  readonly region: Region
  readonly isNamed: boolean
  readonly #memory: SharedMemory
  readonly #writer: LaneWriter
  readonly #writerAt: number
  readonly #inFlight: BatchesInFlight
  readonly #large: LargeSends
  readonly #properties: BatchProperties
  /** At most a quarter of the ring, so that the writer has something to do while the next one grows. */
  readonly #batchBytes: number
  #batchAt = -1
  readonly #sequence: LaneSequence
  #hasGivenTime = false
  /** Whether a plain record may join the open batch: it counts from no given time, and repeats nothing. */
  #takesPlain = true
  #lookAt = 0

  constructor(
    memory: SharedMemory,
    lane: number,
    options: { partition: number; writer: number; onRefused: OnRefused } & LaneProducer,
  ) {
    const { words } = memory
    this.lane = lane
    this.partition = options.partition
    this.region = memory.arena
    this.#memory = memory
    this.#writer = new LaneWriter(memory.arena, new AtomicWords(words), lanePlace(words, lane), RECORD_FRAMING)
    this.#writerAt = writerAt(options.writer)
    this.#batchBytes = Math.min(BATCH_PUBLISH_BYTES, this.#writer.entryBytesMax / 2)
    this.#properties = {
      recordCount: 0,
      attributes: 0,
      timestampFirst: 0,
      timestampMax: 0,
      producerId: options.producerId,
      producerEpoch: options.epoch,
      sequenceFirst: 0,
    }
    this.isNamed = options.epoch > 0
    const slots = words[laneAt(lane) + LANE_ACKS_COUNT_AT]
    this.#sequence = new LaneSequence(options.sequenceNext, slots, this.isNamed)
    this.#inFlight = new BatchesInFlight(memory, lane, options.writer, this.#sequence, options.onRefused)
    this.#large = new LargeSends(memory, lane, options.writer, this.#inFlight)
  }

  /** Largest batch that travels in the lane itself. */
  get batchBytesMax(): number {
    return this.#writer.entryBytesMax
  }

  /**
   * Makes room for a record of `bytes` (header and padding included) and returns where it goes: in the open batch, or in
   * a new one. Returns `FULL` where the lane has no room, `TOO_LARGE` where no lane of this size ever has,
   * `CLOSED` where the log takes nothing new.
   * A record that carries a time outside the batch's reach needs a batch of its own: see `fitsTimestamp`.
   */
  reserve(bytes: number): number {
    if (this.#batchAt >= 0) {
      if (this.next + bytes <= this.limit) return this.next
      this.#writer.extend(this.#batchAt)
      this.limit = Math.min(this.#writer.limit, this.#batchAt + this.#batchBytes)
      if (this.next + bytes <= this.limit) return this.next
      this.publish()
    }
    const needed = BATCH_HEADER_BYTES + bytes
    if (!this.#memory.isOpen || this.hasWriterFailed) return CLOSED
    if (needed > this.#writer.entryBytesMax) return TOO_LARGE
    if (!this.#inFlight.hasSlot()) return FULL
    const at = this.#writer.claim(needed)
    if (at < 0) return FULL
    this.#batchAt = at
    this.#lookAt = at
    this.limit = Math.min(this.#writer.limit, at + Math.max(this.#batchBytes, needed))
    this.next = at + BATCH_HEADER_BYTES
    this.recordCount = 0
    this.lastBatch = this.#inFlight.published
    this.#hasGivenTime = false
    this.#takesPlain = !this.#sequence.isRepeating
    const nowMs = Date.now()
    this.#properties.timestampFirst = nowMs
    this.#properties.timestampMax = nowMs
    this.#properties.attributes = 0
    return this.next
  }

  /** Time of the open batch; its records' times are kept as distances from it. */
  get timestampFirst(): number {
    return this.#properties.timestampFirst
  }

  /** Whether a record of that time may join the open batch: its distance from the batch's time has 32 bits. */
  fitsTimestamp(timestampMs: number): boolean {
    const distanceMs = timestampMs - this.#properties.timestampFirst
    return distanceMs === (distanceMs | 0)
  }

  /** Gives the open batch, which is still empty, another time to count from. */
  setTimestampFirst(timestampMs: number): void {
    this.#hasGivenTime = true
    this.#takesPlain = false
    this.#properties.timestampFirst = timestampMs
    this.#properties.timestampMax = timestampMs
  }

  /** Counts in the record that was written at `next`, ends at `end`, and has this time. */
  add(end: number, timestampMs: number, level: number): void {
    this.next = end
    this.lastIndex = this.recordCount++
    this.lastTimestamp = timestampMs
    if (timestampMs > this.#properties.timestampMax) this.#properties.timestampMax = timestampMs
    if (level > this.#properties.attributes) this.#properties.attributes = level
  }

  /** Whether the open batch counts from a time that a record named, so that "now" has to be written out. */
  get hasGivenTime(): boolean {
    return this.#hasGivenTime && this.recordCount > 0
  }

  get hasOpenBatch(): boolean {
    return this.recordCount > 0
  }

  /** Adds a record of nothing but a value to the open batch; false where there is none, or no room in it. */
  addPlain(value: Uint8Array): boolean {
    const at = this.next
    const { length } = value
    const end = at + align8(RECORD_HEADER_BYTES + length)
    if (end > this.limit || !this.#takesPlain) return false
    const { u32 } = this.region
    // The padding first: it is part of the record's last 8 bytes, which the header or the value then overwrite.
    u32[(end >>> 2) - 2] = 0
    u32[(end >>> 2) - 1] = 0
    writeRecordHeader(this.region, at, length, LENGTH_NULL, LENGTH_NULL, 0)
    copyBytes(this.region.u8, at + RECORD_HEADER_BYTES, value)
    this.next = end
    this.lastIndex = this.recordCount++
    this.lastTimestamp = this.#properties.timestampFirst
    return true
  }

  /** Whether to look at the writer's doorbell: at the first record of a batch, and again every few KiB. A look at each
   *  record would cost the line that the writer's own stores keep taking away. */
  isLookDue(): boolean {
    if (this.next < this.#lookAt) return false
    this.#lookAt = this.next + LOOK_BYTES
    return true
  }

  /** Whether the writer sleeps, so that a batch had better be published than gathered. */
  get isWriterIdle(): boolean {
    return isSleeping(this.#memory.words, this.#writerAt + WRITER_DOORBELL_AT)
  }

  get hasWriterFailed(): boolean {
    return this.#inFlight.hasWriterFailed
  }

  /** Of a named producer: makes the open batch one that `count` records from `sequence` on may join. Throws
   *  `OUT_OF_SEQUENCE`. */
  turnTo(sequence: number | undefined, count: number): void {
    if (this.#sequence.joins(sequence, count, this.recordCount)) return
    this.publish()
    this.#sequence.begin(sequence)
  }

  /** Last sequence that is known to be acknowledged. */
  get lastSequence(): number {
    return this.#sequence.accepted - 1
  }

  /** Closes the open batch, if it has records, and lets the writer see it. */
  publish(): void {
    const at = this.#batchAt
    if (at < 0) return
    this.#batchAt = -1
    this.limit = 0
    // Begun for a record that was then refused: its place is the next one's, and so is the time.
    if (this.recordCount === 0) return
    this.#close(this.region, at, this.next, this.recordCount)
    this.#send(this.next, this.recordCount)
    this.recordCount = 0
  }

  /**
   * Publishes a batch that was encoded elsewhere, in one piece: through the lane where it fits, else in a run of the
   * arena of its own, else in the memory that it is in, which is shared and not the caller's any more: one such at a time.
   * Returns false where there is no room now.
   */
  sendBatch(
    batch: EncodedBatch,
    recordCount: number,
    timestamps: { first: number; max: number },
    level: number,
  ): boolean {
    this.publish()
    const { length } = batch
    if (!this.#inFlight.hasSlot()) return false
    const inLane = length <= this.#writer.entryBytesMax
    const at = this.#writer.claim(inLane ? length : BATCH_HEADER_BYTES)
    if (at < 0) return false
    const batchAt = inLane ? at : this.#large.takeRun(length)
    if (batchAt < 0) return false
    const isOwn = batchAt === OWN_MEMORY
    const region = isOwn ? batch.region : this.region
    const regionAt = isOwn ? 0 : batchAt
    if (!isOwn) region.u8.set(batch.region.u8.subarray(0, length), batchAt)
    this.#properties.timestampFirst = timestamps.first
    this.#properties.timestampMax = timestamps.max
    this.#properties.attributes = level
    this.#close(region, regionAt, regionAt + length, recordCount)
    if (isOwn) this.#large.post(region)
    if (!inLane) writeReference(this.region, at, batchAt, length)
    this.lastBatch = this.#inFlight.published
    this.lastIndex = 0
    this.lastTimestamp = timestamps.first
    this.#send(at + (inLane ? length : BATCH_HEADER_BYTES), recordCount)
    return true
  }

  /** Whether a batch that the lane itself does not hold could be sent now: asked before it is encoded. */
  canSendLarge(): boolean {
    this.publish()
    return (
      this.#inFlight.hasSlot() && this.#writer.freeBytes() >= 2 * BATCH_HEADER_BYTES && !this.#large.hasOwnInFlight()
    )
  }

  #close(region: Region, at: number, end: number, recordCount: number): void {
    this.#properties.recordCount = recordCount
    this.#properties.sequenceFirst = this.#sequence.close(this.#inFlight.slot, recordCount)
    closeBatch(region, at, end, this.#properties)
  }

  #send(end: number, recordCount: number): void {
    this.#inFlight.add(recordCount)
    this.#writer.publish(end)
    this.#knock()
  }

  #knock(): void {
    const { words } = this.#memory
    const word = this.#writerAt + WRITER_READY_AT + (this.lane >>> 5)
    const bit = 1 << (this.lane & 31)
    // A bit that is set has not been taken yet: whoever takes it reads the lane's tail after that.
    if ((Atomics.load(words, word) & bit) === 0) Atomics.or(words, word, bit)
    ring(words, this.#writerAt + WRITER_DOORBELL_AT)
    // The host sets the flag before it refuses what is published: either it sees this batch, or this sees the flag.
    if (this.hasWriterFailed) this.collect()
  }

  /** Adds an append that waits for the batch with this number; batches are waited for in order. */
  await(append: PendingAppend): void {
    this.#inFlight.await(append)
  }

  /** Takes notice of what is settled by now. Returns whether anything published is not. */
  collect(): boolean {
    return this.#inFlight.collect()
  }

  /** Whether there is room worth waking up for: a quarter of the lane, and a slot for an acknowledgement. */
  hasRoom(): boolean {
    return (
      this.#writer.freeBytes() >= this.#writer.entryBytesMax / 2 &&
      this.#inFlight.hasSlot() &&
      !this.#large.hasOwnInFlight()
    )
  }

  get hasUnsettled(): boolean {
    return this.#inFlight.hasUnsettled
  }

  get hasPending(): boolean {
    return this.#inFlight.hasPending
  }

  /** Refuses every append that still waits: nobody is left to settle it. */
  refusePending(outcome: number): void {
    this.#inFlight.refusePending(outcome)
  }
}
