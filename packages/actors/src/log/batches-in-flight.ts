import { sharedNowMs } from '../memory/clock.js'
import {
  ACK_NUMBERS,
  ACK_OFFSET_AT,
  ACK_PUBLISHED_MS_AT,
  LANE_ACKS_AT,
  LANE_ACKS_COUNT_AT,
  LANE_PUBLISHED_AT,
  LANE_SETTLED_AT,
  laneAt,
  WRITER_FAILED_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { encodeRefusal } from '../writer/outcome.js'
import type { LaneSequence } from './lane-sequence.js'

/** What becomes of an append when its batch is settled. */
export interface PendingAppend {
  batch: number
  /** Which record of its batch it is. */
  index: number
  timestamp: number
  /** `isDuplicate`: a named producer's batch that had been there before. */
  settle: (outcome: number, index: number, timestamp: number, isDuplicate: boolean) => void
}

/** How a batch ended; a negative outcome is a refusal. */
export type OnRefused = (outcome: number, recordCount: number) => void

/**
 * The batches of one lane that are published and not settled, and the appends that wait for them. Owned by the lane.
 *
 * Invariants: `settledSeen <= settled (shared) <= published`; `published - settledSeen <= acknowledgement slots`.
 */
export class BatchesInFlight {
  /** How many batches were published, ever: the next one's number. */
  published: number
  /** Acknowledgement slots, less one. */
  readonly slotMask: number
  #settledSeen: number
  readonly #memory: SharedMemory
  readonly #at: number
  readonly #acksAt: number
  readonly #failedAt: number
  readonly #sequence: LaneSequence
  readonly #onRefused: OnRefused
  /** Records of each batch in flight, by the batch's slot. */
  readonly #recordCounts: Uint32Array
  readonly #pending: PendingAppend[] = []
  /** The first of `#pending` that still waits: a queue without a shift for each append. */
  #pendingFrom = 0

  constructor(memory: SharedMemory, lane: number, writer: number, sequence: LaneSequence, onRefused: OnRefused) {
    const { words } = memory
    this.#memory = memory
    this.#at = laneAt(lane)
    this.#failedAt = writerAt(writer) + WRITER_FAILED_AT
    this.#acksAt = words[this.#at + LANE_ACKS_AT] >>> 3
    this.slotMask = words[this.#at + LANE_ACKS_COUNT_AT] - 1
    this.#sequence = sequence
    this.#onRefused = onRefused
    this.#recordCounts = new Uint32Array(this.slotMask + 1)
    this.published = Atomics.load(words, this.#at + LANE_PUBLISHED_AT)
    this.#settledSeen = this.published
  }

  /** Slot of the next batch. */
  get slot(): number {
    return this.published & this.slotMask
  }

  get hasWriterFailed(): boolean {
    return Atomics.load(this.#memory.words, this.#failedAt) !== 0
  }

  /** Counts in a batch that is published in the next moment. */
  add(recordCount: number): void {
    const { slot } = this
    this.#recordCounts[slot] = recordCount
    this.#memory.arena.f64[this.#acksAt + slot * ACK_NUMBERS + ACK_PUBLISHED_MS_AT] = sharedNowMs()
    this.published = (this.published + 1) | 0
    Atomics.store(this.#memory.words, this.#at + LANE_PUBLISHED_AT, this.published)
  }

  /** Whether one more batch could be published. */
  hasSlot(): boolean {
    if (this.#sequence.isBlocked) {
      this.collect()
      if (this.#sequence.isBlocked) return false
    }
    if (((this.published - this.#settledSeen) | 0) <= this.slotMask) return true
    this.collect()
    return ((this.published - this.#settledSeen) | 0) <= this.slotMask
  }

  /** Whether the batch of this number is not known to be settled. */
  isInFlight(batch: number): boolean {
    return ((batch - this.#settledSeen) | 0) >= 0
  }

  /** Adds an append that waits for the batch with this number; batches are waited for in order. */
  await(append: PendingAppend): void {
    this.#pending.push(append)
  }

  /** Takes notice of what is settled by now. Returns whether anything published is not. */
  collect(): boolean {
    const { words, arena } = this.#memory
    const settled = Atomics.load(words, this.#at + LANE_SETTLED_AT)
    while (((settled - this.#settledSeen) | 0) > 0) {
      this.#settleOne(arena.f64[this.#acksAt + (this.#settledSeen & this.slotMask) * ACK_NUMBERS + ACK_OFFSET_AT])
    }
    // No thread of a writer that was given up runs any more: what it has not settled, nobody will.
    if (this.hasWriterFailed) while (this.hasUnsettled) this.#settleOne(encodeRefusal('writer'))
    if (this.hasUnsettled) return true
    this.#sequence.settleAll()
    return false
  }

  #settleOne(outcome: number): void {
    const batch = this.#settledSeen
    const slot = batch & this.slotMask
    const recordCount = this.#recordCounts[slot]
    this.#settledSeen = (batch + 1) | 0
    if (outcome >= 0) {
      this.#settlePending(batch, outcome, this.#sequence.settleAccepted(slot, recordCount))
      return
    }
    const told = this.#sequence.settleRefused(outcome)
    this.#onRefused(told, recordCount)
    this.#settlePending(batch, told, false)
  }

  #settlePending(batch: number, outcome: number, isDuplicate: boolean): void {
    while (this.#pendingFrom < this.#pending.length && this.#pending[this.#pendingFrom].batch === batch) {
      const append = this.#pending[this.#pendingFrom++]
      append.settle(outcome, append.index, append.timestamp, isDuplicate)
    }
    if (this.#pendingFrom < this.#pending.length / 2) return
    this.#pending.splice(0, this.#pendingFrom)
    this.#pendingFrom = 0
  }

  get hasUnsettled(): boolean {
    return this.#settledSeen !== this.published
  }

  get hasPending(): boolean {
    return this.#pending.length > this.#pendingFrom
  }

  /** Refuses every append that still waits: nobody is left to settle it. */
  refusePending(outcome: number): void {
    for (const append of this.#pending.splice(0).slice(this.#pendingFrom))
      append.settle(outcome, append.index, append.timestamp, false)
  }
}
