import { randomBytes } from 'node:crypto'
import { type TopicConfig, type TopicRequest, WalrusError } from '@walrus-log/core'
import type { GroupCalls, GroupStats } from '../group/messages.js'
import { EventedDoorbell } from '../lane/doorbell.js'
import {
  ACK_NUMBERS,
  ARENA_CHUNK_BYTES,
  CLIENT_CLAIMED,
  CLIENT_DOORBELL_AT,
  CLIENT_FREE,
  CLIENT_LIFE_AT,
  CLIENT_OPEN,
  CLIENT_STATE_AT,
  CLIENTS_MAX,
  clientAt,
  HEADER_READ_ONLY_AT,
  LANE_ACKS_AT,
  LANE_ACKS_COUNT_AT,
  LANE_CLAIMED,
  LANE_CLIENT_AT,
  LANE_FREE,
  LANE_LIFE_AT,
  LANE_OPEN,
  LANE_PARTITION_AT,
  LANE_PRODUCER_ID_AT,
  LANE_PUBLISHED_AT,
  LANE_RING_AT,
  LANE_RING_BYTES_AT,
  LANE_SETTLED_AT,
  LANE_STATE_AT,
  LANE_WRITER_AT,
  LANES_MAX,
  laneAt,
  PARTITION_FIRST_OFFSET_AT,
  partitionAt,
  WRITER_LANES_CHANGED_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { AheadRequest, FillReply, FillRequest } from '../reader-pool/tasks.js'
import { encodeRefusal } from '../writer/outcome.js'
import { type LaneProducer, type OnRefused, PartitionLane } from './partition-lane.js'
import type { PartitionPlace, TopicPlace } from './place.js'

export type { PartitionPlace, TopicPlace } from './place.js'

/** Names an open topic. `slot` is its first partition's, so that a later topic of that name is not meant. */
export interface TopicSlot {
  topic: string
  slot: number
}

export interface TrimRequest extends TopicSlot {
  before: 'end' | number | { timestampMs: number }
  partition?: number
}

/** Offsets of a partition after a trim. */
export interface TrimmedPartition {
  partition: number
  first: number
  next: number
}

export interface TopicStats {
  topic: string
  records: number
  bytes: number
  partitions: PartitionStats[]
  /** Consumer groups that have begun to read the topic. */
  groups: GroupStats[]
}

export interface PartitionStats {
  partition: number
  /** First offset that exists, and one past the last acknowledged. */
  first: number
  next: number
  records: number
  /** Length of the segment files' data. */
  bytes: number
  segments: number
}

/** Asks for a name of a producer. */
export interface OpenProducerRequest extends TopicSlot {
  name: string
  /** The one partition that is written to; null: all. */
  partition: number | null
}

export interface OpenedProducer {
  id: number
  epoch: number
  /** By partition: the last sequence that was accepted of the name; -1 where none was, or where it is not opened. */
  lastSequences: number[]
}

/** Calls that the host answers, whichever thread they come from. */
export interface ControlCalls extends GroupCalls {
  openTopic(name: string, request: TopicRequest): Promise<TopicPlace>
  topics(): Promise<TopicConfig[]>
  topicStats(topic: TopicSlot): Promise<TopicStats>
  deleteTopic(name: string): Promise<void>
  trim(request: TrimRequest): Promise<TrimmedPartition[]>
  openProducer(request: OpenProducerRequest): Promise<OpenedProducer>
  /** Of a log that is only read: takes in what its writers had said before the call. */
  refresh(): Promise<void>
  /** The same, and finds out whether the topic is gone, or its first records are; asked where a read of it has failed. */
  recheck(topic: string): Promise<void>
  /** Reads on a thread of the reader pool into memory that is shared. */
  fill(request: FillRequest): Promise<FillReply>
  ahead(request: AheadRequest): Promise<boolean>
}

const LANE_RING_BYTES_MIN = ARENA_CHUNK_BYTES
/** Larger rings fall out of the cache that both cores share (4 MiB measured 12 % slower). */
const LANE_RING_BYTES_MAX = 1024 * 1024
/** A new lane gets at most this share of what is free, so that a thousand lanes fit where ten would have been large. */
const LANE_FREE_SHARE = 128

/** A producer as the log sees it, which has to settle and to end it. */
export interface OpenProducer {
  readonly hasUnsettled: boolean
  flush(): Promise<void>
  close(): Promise<void>
  /** Gives back the lanes of which all is settled; the thread ends. */
  leave(): void
  /** Refuses all that still waits, with this outcome. */
  abandon(outcome: number): void
}

/** One thread's end of an open log: its slot, its doorbell, its lanes. */
export class LogClient {
  readonly memory: SharedMemory
  readonly control: ControlCalls
  readonly client: number
  readonly doorbell: EventedDoorbell
  /** Producers of this thread that are not closed. */
  readonly producers = new Set<OpenProducer>()
  #isClosed = false

  constructor(memory: SharedMemory, client: number, control: ControlCalls) {
    this.memory = memory
    this.control = control
    this.client = client
    this.doorbell = new EventedDoorbell(memory.words, clientAt(client) + CLIENT_DOORBELL_AT)
    this.doorbell.listen({ poll: () => this.#endIfClosed() })
  }

  /** Throws `CLOSED` unless the log takes new work. */
  requireOpen(): void {
    if (this.#isClosed || !this.memory.isOpen) throw closedError()
  }

  /** Whether the log was opened with `readOnly`. */
  get isReadOnly(): boolean {
    return this.memory.words[HEADER_READ_ONLY_AT] === 1
  }

  /** Throws `CLOSED`, and `READ_ONLY` where nothing may be written. */
  requireWritable(what: string): void {
    this.requireOpen()
    if (this.isReadOnly) throw readOnlyError(what)
  }

  get isClosed(): boolean {
    return this.#isClosed || !this.memory.isOpen
  }

  /** Opens a lane from this thread to a partition's writer. */
  openLane(place: PartitionPlace, producer: LaneProducer, onRefused: OnRefused): PartitionLane {
    this.requireOpen()
    const { memory } = this
    const { words } = memory
    const lane = claimLane(words, place.writer, place.slot)
    if (lane < 0)
      throw new WalrusError('MAILBOX_FULL', `all ${LANES_MAX} lanes are taken; close producers that are not used`)
    const at = laneAt(lane)
    words[at + LANE_WRITER_AT] = place.writer
    words[at + LANE_PARTITION_AT] = place.slot
    Atomics.add(words, at + LANE_LIFE_AT, 1)
    let ringBytes = LANE_RING_BYTES_MIN
    const bytesMax = Math.min(memory.chunks.free() / LANE_FREE_SHARE, LANE_RING_BYTES_MAX)
    while (ringBytes * 2 <= bytesMax) ringBytes *= 2
    const acksCount = Math.min(Math.max(ringBytes / 1024, 256), 1024)
    const acksBytes = acksCount * ACK_NUMBERS * 8
    const ringAt = memory.chunks.take(ringBytes + acksBytes)
    if (ringAt < 0) {
      Atomics.store(words, at + LANE_STATE_AT, LANE_FREE)
      throw new WalrusError(
        'MAILBOX_FULL',
        'the memory for lanes is used up; close producers that are not used, or open the log with a larger laneBytesMax',
      )
    }
    // Positions and counts go on from the slot's former life, in which all was settled: whoever still holds a count of
    // it finds nothing to do.
    words[at + LANE_CLIENT_AT] = this.client
    words[at + LANE_RING_AT] = ringAt
    words[at + LANE_RING_BYTES_AT] = ringBytes
    words[at + LANE_ACKS_AT] = ringAt + ringBytes
    words[at + LANE_ACKS_COUNT_AT] = acksCount
    memory.doubles[(at + LANE_PRODUCER_ID_AT) >>> 1] = producer.producerId
    Atomics.store(words, at + LANE_STATE_AT, LANE_OPEN)
    Atomics.add(words, writerAt(place.writer) + WRITER_LANES_CHANGED_AT, 1)
    return new PartitionLane(memory, lane, { partition: place.partition, writer: place.writer, ...producer, onRefused })
  }

  /** Gives a lane back whose batches are all settled. */
  closeLane(lane: PartitionLane, writer: number): void {
    const { words, chunks } = this.memory
    const at = laneAt(lane.lane)
    // What a writer that was given up never took keeps its lane, or its bytes would be another lane's.
    if (Atomics.load(words, at + LANE_SETTLED_AT) !== Atomics.load(words, at + LANE_PUBLISHED_AT)) return
    const bytes = words[at + LANE_RING_BYTES_AT] + words[at + LANE_ACKS_COUNT_AT] * ACK_NUMBERS * 8
    const ringAt = words[at + LANE_RING_AT]
    Atomics.store(words, at + LANE_STATE_AT, LANE_CLAIMED)
    Atomics.add(words, writerAt(writer) + WRITER_LANES_CHANGED_AT, 1)
    chunks.give(ringAt, bytes)
    Atomics.store(words, at + LANE_STATE_AT, LANE_FREE)
  }

  /** When the log has closed under this thread, nobody is left to settle what it still has under way. */
  #endIfClosed(): boolean {
    if (!this.memory.isClosed) return true
    for (const producer of [...this.producers]) producer.abandon(encodeRefusal('closed'))
    this.producers.clear()
    return false
  }

  /** Ends this thread's part; lanes that are still open are the host's to settle. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.doorbell.close()
    Atomics.store(this.memory.words, clientAt(this.client) + CLIENT_STATE_AT, CLIENT_FREE)
  }
}

/** First offset of a partition that exists. */
export function readFirstOffset(memory: SharedMemory, slot: number): number {
  return Number(Atomics.load(memory.wide, (partitionAt(slot) + PARTITION_FIRST_OFFSET_AT) >>> 1))
}

export function unknownTopic(name: string): WalrusError {
  return new WalrusError('UNKNOWN_TOPIC', `the topic ${JSON.stringify(name)} was deleted; create it again`)
}

/** `what` was refused. */
export function readOnlyError(what: string): WalrusError {
  return new WalrusError(
    'READ_ONLY',
    `the log was opened with readOnly: true, ${what} is refused; do it in the process that writes, or open without readOnly`,
  )
}

export function closedError(): WalrusError {
  return new WalrusError('CLOSED', 'the log is closed; open it again')
}

/** Takes a client's slot for the calling thread. */
export function claimClient(memory: SharedMemory): number {
  const client = claim(memory.words, CLIENTS_MAX, clientAt, CLIENT_STATE_AT, CLIENT_FREE, CLIENT_CLAIMED)
  if (client < 0)
    throw new WalrusError('MAILBOX_FULL', `${CLIENTS_MAX} threads use the log already; close it in one of them`)
  memory.words[clientAt(client) + CLIENT_LIFE_AT]++
  return client
}

export function openClient(memory: SharedMemory, client: number): void {
  Atomics.store(memory.words, clientAt(client) + CLIENT_STATE_AT, CLIENT_OPEN)
}

function claim(
  words: Int32Array,
  count: number,
  at: (index: number) => number,
  stateAt: number,
  free: number,
  claimed: number,
): number {
  for (let index = 0; index < count; index++) {
    const word = at(index) + stateAt
    if (Atomics.load(words, word) === free && Atomics.compareExchange(words, word, free, claimed) === free) return index
  }
  return -1
}

/**
 * Takes a lane's slot: one that never lived, or one whose lives all led to this partition and this writer. A slot is
 * never taken to another partition, so that a ready bit, a count or a store that comes late from a former life means the
 * same partition, in the hands of the same writer, and does no harm.
 */
function claimLane(words: Int32Array, writer: number, slot: number): number {
  for (let lane = 0; lane < LANES_MAX; lane++) {
    const at = laneAt(lane)
    if (Atomics.load(words, at + LANE_STATE_AT) !== LANE_FREE || !leadsTo(words, at, writer, slot)) continue
    if (Atomics.compareExchange(words, at + LANE_STATE_AT, LANE_FREE, LANE_CLAIMED) !== LANE_FREE) continue
    // Somebody may have taken it for the first time, and given it back, since it was looked at.
    if (leadsTo(words, at, writer, slot)) return lane
    Atomics.store(words, at + LANE_STATE_AT, LANE_FREE)
  }
  return -1
}

function leadsTo(words: Int32Array, at: number, writer: number, slot: number): boolean {
  if (Atomics.load(words, at + LANE_LIFE_AT) === 0) return true
  return words[at + LANE_WRITER_AT] === writer && words[at + LANE_PARTITION_AT] === slot
}

/** A random number that names a producer: 48 bits, so that two in a log's life hardly meet. */
export function randomProducerId(): number {
  return randomBytes(6).readUIntBE(0, 6)
}
