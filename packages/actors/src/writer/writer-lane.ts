import { assert, batchMagic, batchProducerId, batchSequenceFirst, isBatchOfNamed, type Region } from '@walrus-log/core'
import { LaneReader } from '../lane/lane-reader.js'
import { AtomicWords, type LanePlace } from '../lane/layout.js'
import { KIND_REFERENCE, OWN_MEMORY, RECORD_FRAMING, referencedAt, referencedBytes } from '../lane/record-lane.js'
import {
  ACK_NUMBERS,
  ACK_OFFSET_AT,
  LANE_ACKS_AT,
  LANE_ACKS_COUNT_AT,
  LANE_CLIENT_AT,
  LANE_HEAD_AT,
  LANE_LIFE_AT,
  LANE_MOVING_AT,
  LANE_NEXT_HEAD_AT,
  LANE_NEXT_WRITTEN_AT,
  LANE_OPEN,
  LANE_PARTITION_AT,
  LANE_RING_AT,
  LANE_RING_BYTES_AT,
  LANE_SETTLED_AT,
  LANE_STATE_AT,
  LANE_TAIL_AT,
  LANE_WRITTEN_AT,
  laneAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { LargeBatches } from '../message/large-batches.js'
import { ringLaneOwner } from './settlement.js'

/** A pass takes at most this part of a ring, so that producer and writer work at the same time. */
const PASS_SHARE = 2

/** Where the ring of an open lane lies. */
export function lanePlace(words: Int32Array, lane: number): LanePlace {
  const at = laneAt(lane)
  return {
    ringAt: words[at + LANE_RING_AT],
    ringBytes: words[at + LANE_RING_BYTES_AT],
    tailAt: at + LANE_TAIL_AT,
    headAt: at + LANE_HEAD_AT,
  }
}

/** Ends the move of head and count that a dead writer was in, if it was in one. */
export function finishMove(words: Int32Array, lane: number): void {
  const at = laneAt(lane)
  if (Atomics.load(words, at + LANE_MOVING_AT) !== 1) return
  Atomics.store(words, at + LANE_HEAD_AT, words[at + LANE_NEXT_HEAD_AT])
  Atomics.store(words, at + LANE_WRITTEN_AT, words[at + LANE_NEXT_WRITTEN_AT])
  Atomics.store(words, at + LANE_MOVING_AT, 0)
}

/**
 * A record lane as the segment writer sees it: batches are taken in order, given an outcome each, and released when they
 * are written or refused.
 *
 * Invariant: `written (shared) <= taken`; the outcomes of batches in [written, taken) are set before `release`.
 */
export class WriterLane {
  readonly lane: number
  /** Which life of the lane's slot this is; another one needs another object. */
  readonly life: number
  readonly slot: number
  readonly reader: LaneReader
  /** How much of the ring one pass takes, in the lane's 8-byte units. */
  readonly passUnits: number
  /** Runs of the arena that hold this lane's large batches, to be given back when they are written: position, length. */
  readonly references: number[] = []
  /** Numbers of the batches in memory of their own that were taken and not released. */
  readonly #large: number[] = []
  readonly #largeBatches: LargeBatches
  #taken: number
  readonly #memory: SharedMemory
  readonly #at: number
  readonly #acksAt: number
  readonly #acksMask: number
  readonly #client: number

  constructor(memory: SharedMemory, lane: number, largeBatches: LargeBatches) {
    const { words } = memory
    const at = laneAt(lane)
    this.lane = lane
    this.life = Atomics.load(words, at + LANE_LIFE_AT)
    this.slot = words[at + LANE_PARTITION_AT]
    this.reader = new LaneReader(memory.arena, new AtomicWords(words), lanePlace(words, lane), RECORD_FRAMING)
    this.passUnits = words[at + LANE_RING_BYTES_AT] / PASS_SHARE / 8
    this.#memory = memory
    this.#largeBatches = largeBatches
    this.#at = at
    this.#taken = Atomics.load(words, at + LANE_WRITTEN_AT)
    this.#acksAt = words[at + LANE_ACKS_AT] >>> 3
    this.#acksMask = words[at + LANE_ACKS_COUNT_AT] - 1
    this.#client = words[at + LANE_CLIENT_AT]
  }

  /** Whether what the constructor read was one life's, from its beginning to its end: asked right behind it. */
  get isSound(): boolean {
    return Atomics.load(this.#memory.words, this.#at + LANE_STATE_AT) === LANE_OPEN && this.isAlive
  }

  /** Whether the slot has not been taken to another life since. */
  get isAlive(): boolean {
    return Atomics.load(this.#memory.words, this.#at + LANE_LIFE_AT) === this.life
  }

  /**
   * Takes notice of what is published. Returns whether there is anything. A life with something in the lane does not end:
   * only a bit that was set late brings the writer here after that, and what it then sees is the next life's.
   */
  look(): boolean {
    return this.reader.look() && this.isAlive
  }

  /**
   * Where the batch of the entry at `at` lies: there, or in a run of its own, which `release` then gives back. `OWN_MEMORY`:
   * `takeLarge` has it.
   */
  takeReference(at: number): number {
    const region = this.#memory.arena
    if (batchMagic(region, at) !== KIND_REFERENCE) return at
    const batchAt = referencedAt(region, at)
    if (batchAt === OWN_MEMORY) return OWN_MEMORY
    this.references.push(batchAt, referencedBytes(region, at))
    return batchAt
  }

  /** The batch of the entry that `takeReference` was just asked about, at the beginning of its own memory. */
  takeLarge(): Region {
    const region = this.#largeBatches.find(this.lane, this.life, this.#taken)
    assert(region !== undefined, 'the memory of a batch is posted before its reference is published')
    this.#large.push(this.#taken)
    return region
  }

  /** Notes what became of the batch that `reader.next` gave: its base offset, or a refusal. */
  setOutcome(outcome: number): void {
    this.#memory.arena.f64[this.#acksAt + (this.#taken & this.#acksMask) * ACK_NUMBERS + ACK_OFFSET_AT] = outcome
    this.#taken = (this.#taken + 1) | 0
  }

  /**
   * Walks over the batches at the lane's head that are in the file already: `findOffset` says where. They are a prefix,
   * since a lane's batches are written in order. Those of named producers are left: taken once more, they are found to be
   * there.
   */
  resume(region: Region, findOffset: (producerId: number, sequenceFirst: number) => number | undefined): void {
    const ahead = new LaneReader(
      region,
      new AtomicWords(this.#memory.words),
      lanePlace(this.#memory.words, this.lane),
      RECORD_FRAMING,
    )
    ahead.look()
    this.reader.look()
    for (let at = ahead.next(); at >= 0; at = ahead.next()) {
      const isReference = batchMagic(region, at) === KIND_REFERENCE
      const referenced = isReference ? referencedAt(region, at) : at
      const large = referenced === OWN_MEMORY ? this.#largeBatches.find(this.lane, this.life, this.#taken) : undefined
      const batch = large ?? region
      const batchAt = large === undefined ? referenced : 0
      if (isBatchOfNamed(batch, batchAt)) break
      const offset = findOffset(batchProducerId(batch, batchAt), batchSequenceFirst(batch, batchAt))
      if (offset === undefined) break
      if (large !== undefined) this.#large.push(this.#taken)
      else if (isReference) this.references.push(batchAt, referencedBytes(region, at))
      this.reader.next()
      this.setOutcome(offset)
    }
    this.release()
  }

  /** Overwrites the outcome of all batches from number `from` on that were taken, but for what is there below `durable`. */
  refuseFrom(from: number, outcome: number, durable: number): void {
    const { f64 } = this.#memory.arena
    for (let batch = from; batch !== this.#taken; batch = (batch + 1) | 0) {
      const at = this.#acksAt + (batch & this.#acksMask) * ACK_NUMBERS + ACK_OFFSET_AT
      if (f64[at] < 0 || f64[at] >= durable) f64[at] = outcome
    }
  }

  /**
   * Gives the lane's bytes back to the producer: what was taken is written, or refused. Head and count move as one: a
   * thread that dies between them has left word of both, and `finishMove` of its successor ends what it began.
   */
  release(): void {
    const { words } = this.#memory
    Atomics.store(words, this.#at + LANE_NEXT_HEAD_AT, this.reader.cursor)
    Atomics.store(words, this.#at + LANE_NEXT_WRITTEN_AT, this.#taken)
    Atomics.store(words, this.#at + LANE_MOVING_AT, 1)
    this.reader.release()
    Atomics.store(words, this.#at + LANE_WRITTEN_AT, this.#taken)
    Atomics.store(words, this.#at + LANE_MOVING_AT, 0)
    for (let index = 0; index < this.references.length; index += 2) {
      this.#memory.chunks.give(this.references[index], this.references[index + 1])
    }
    this.references.length = 0
    for (const number of this.#large.splice(0)) this.#largeBatches.done(this.lane, this.life, number)
    ringLaneOwner(this.#memory.words, this.#client, this.lane)
  }

  /** Settles all that was released, where no partition does it. */
  settleAll(): void {
    Atomics.store(this.#memory.words, this.#at + LANE_SETTLED_AT, this.#taken)
    ringLaneOwner(this.#memory.words, this.#client, this.lane)
  }
}
