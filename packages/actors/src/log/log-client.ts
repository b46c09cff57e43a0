import { randomBytes } from 'node:crypto'
import { type TopicConfig, type TopicRequest, WalrusError } from '@walrus-log/core'
import type { GroupCalls, GroupStats } from '../group/messages.js'
import { EventedDoorbell } from '../lane/doorbell.js'
import { SharedWaits } from '../lane/shared-waits.js'
import {
  ACK_NUMBERS,
  ARENA_CHUNK_BYTES,
  CLIENT_BLOCKED_FOR_AT,
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
  WRITER_LANE_GROUPS_AT,
  WRITER_LANES_CHANGED_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { AheadRequest, FillReply, FillRequest } from '../reader-pool/tasks.js'
import { WindowStore } from '../reader-pool/window-store.js'
import { encodeRefusal } from '../writer/outcome.js'
import type { OnRefused } from './batches-in-flight.js'
import { type LaneProducer, PartitionLane } from './partition-lane.js'
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
  storedBytes: number
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
  /** Length of the segments' data, as it was written. */
  bytes: number
  /** Length of the files that it is in: less where segments are compressed. */
  storedBytes: number
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

const KIB = 1024
/**
 * Ring sizes by how many lanes there are already. Larger rings than the first ones fall out of the cache that both cores
 * share (4 MiB measured 12 % slower). Of a thousand lanes that are written in turn, each needs a ring that gives the writer
 * some tens of KiB at once: with 32 KiB rings a record cost it twice as much as with 128 KiB.
 */
const RING_BYTES_BELOW_LANE = [
  { lane: 32, ringBytes: 1024 * KIB },
  { lane: 96, ringBytes: 512 * KIB },
  { lane: 224, ringBytes: 256 * KIB },
  { lane: 1024, ringBytes: 128 * KIB },
]
/** With its acknowledgement slots, such a lane takes one chunk of the arena: thousands fit. */
const RING_BYTES_MIN = ARENA_CHUNK_BYTES / 2
/** A new lane's ring is at most this share of what is free, so that many fit where a few would have been large. */
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
  /** For whoever waits for a partition's watermark. */
  readonly waits: SharedWaits
  /** Memory of this thread's readers. */
  readonly windows = new WindowStore()
  #isClosed = false
  #isClosing = false

  constructor(memory: SharedMemory, client: number, control: ControlCalls) {
    this.memory = memory
    this.control = control
    this.client = client
    this.waits = new SharedWaits(memory.words)
    this.doorbell = new EventedDoorbell(memory.words, clientAt(client) + CLIENT_DOORBELL_AT)
    this.doorbell.listen({ poll: () => this.#endIfClosed() })
  }

  /** Throws `CLOSED` unless the log takes new work. */
  requireOpen(): void {
    if (this.#isClosed || !this.memory.isOpen) throw closedError()
  }

  /** The same for what the user begins anew, of which nothing may come behind what `Walrus.close` waits for. */
  requireTaking(): void {
    if (this.#isClosing) throw closedError()
    this.requireOpen()
  }

  /** From here on nothing new is begun in this thread; what was begun still goes on. */
  beginClosing(): void {
    this.#isClosing = true
  }

  /** Whether the log was opened with `readOnly`. */
  get isReadOnly(): boolean {
    return this.memory.words[HEADER_READ_ONLY_AT] === 1
  }

  /** Throws `CLOSED`, and `READ_ONLY` where nothing may be written. */
  requireWritable(what: string): void {
    this.requireTaking()
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
    const lane = claimLane(words, place.writer)
    if (lane < 0)
      throw new WalrusError('MAILBOX_FULL', `all ${LANES_MAX} lanes are taken; close producers that are not used`)
    const at = laneAt(lane)
    words[at + LANE_WRITER_AT] = place.writer
    words[at + LANE_PARTITION_AT] = place.slot
    Atomics.add(words, at + LANE_LIFE_AT, 1)
    const ringBytes = ringBytesOf(lane, memory.chunks.free())
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
    tellChanged(words, lane, place.writer)
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
    tellChanged(words, lane.lane, writer)
    chunks.give(ringAt, bytes)
    Atomics.store(words, at + LANE_STATE_AT, LANE_FREE)
  }

  /** When the log has closed under this thread, nobody is left to settle what it still has under way. */
  #endIfClosed(): boolean {
    if (!this.memory.isClosed) return true
    this.#abandonProducers()
    return false
  }

  #abandonProducers(): void {
    for (const producer of [...this.producers]) producer.abandon(encodeRefusal('closed'))
    this.producers.clear()
  }

  /** Ends this thread's part; lanes that are still open are the host's to settle. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // Nobody polls them any more, and no watermark need ever move again.
    this.#abandonProducers()
    this.doorbell.close()
    this.waits.wakeAll()
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
  Atomics.store(memory.words, clientAt(client) + CLIENT_BLOCKED_FOR_AT, 0)
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

/** Lower numbers are taken first, so that a lane's says how many others there are. */
function ringBytesOf(lane: number, freeBytes: number): number {
  let ringBytes = RING_BYTES_BELOW_LANE.find((row) => lane < row.lane)?.ringBytes ?? RING_BYTES_MIN
  while (ringBytes > RING_BYTES_MIN && ringBytes > freeBytes / LANE_FREE_SHARE) ringBytes /= 2
  return ringBytes
}

/** Has the writer and its sync thread look at the lane's slot anew. */
function tellChanged(words: Int32Array, lane: number, writer: number): void {
  Atomics.add(words, writerAt(writer) + WRITER_LANE_GROUPS_AT + (lane >>> 5), 1)
  Atomics.add(words, writerAt(writer) + WRITER_LANES_CHANGED_AT, 1)
}

/**
 * Takes a lane's slot: one that never lived, or one whose lives all led to this writer. A slot is never taken to another
 * writer, so that a ready bit that comes late from a former life is taken by the one that may look at the lane.
 */
function claimLane(words: Int32Array, writer: number): number {
  for (let lane = 0; lane < LANES_MAX; lane++) {
    const at = laneAt(lane)
    if (Atomics.load(words, at + LANE_STATE_AT) !== LANE_FREE || !isLaneOf(words, at, writer)) continue
    if (Atomics.compareExchange(words, at + LANE_STATE_AT, LANE_FREE, LANE_CLAIMED) !== LANE_FREE) continue
    // Somebody may have taken it for the first time, and given it back, since it was looked at.
    if (isLaneOf(words, at, writer)) return lane
    Atomics.store(words, at + LANE_STATE_AT, LANE_FREE)
  }
  return -1
}

function isLaneOf(words: Int32Array, at: number, writer: number): boolean {
  return Atomics.load(words, at + LANE_LIFE_AT) === 0 || words[at + LANE_WRITER_AT] === writer
}

/** A random number that names a producer: 48 bits, so that two in a log's life hardly meet. */
export function randomProducerId(): number {
  return randomBytes(6).readUIntBE(0, 6)
}
