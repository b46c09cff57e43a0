import { assert, WalrusError } from '@walrus-log/core'
import { isOutOfSequence } from '../writer/outcome.js'

/** Of a batch: it repeats nothing, or its sequence was not given. */
const NEW = -1

/**
 * The sequences of one lane's batches: assigned one after the other, or given by the caller of a named producer, who may
 * send again what was sent before. A batch is all new or all repeated; the writer, who knows the partition, decides.
 * Pure; owned by the lane.
 *
 * Invariants: `accepted <= next`; a repeated batch ends at `next` at the latest; after a refusal nothing is given a
 * sequence before all that is in flight is settled, and `next = accepted` then: what was refused left no gap.
 */
export class LaneSequence {
  /** One past the highest sequence that is known to be acknowledged. */
  accepted: number
  /** Sequence of the next new batch's first record. */
  #next: number
  /** Sequence of the open batch's first record where it repeats something. */
  #repeated = NEW
  /** Sequence that the caller gave the open batch's first record, which it keeps whatever is refused before it. */
  #given = NEW
  /** First sequences of the batches in flight, by slot. */
  readonly #firsts: Float64Array | undefined
  /** Why the first batch that was refused was: those that were in flight behind it are refused for the gap that it left. */
  #refusal = 0

  constructor(sequenceNext: number, slots: number, isNamed: boolean) {
    this.accepted = sequenceNext
    this.#next = sequenceNext
    this.#firsts = isNamed ? new Float64Array(slots) : undefined
  }

  /** Whether the open batch repeats what was sent before. */
  get isRepeating(): boolean {
    return this.#repeated !== NEW
  }

  /** Whether a refusal waits for what is in flight behind it. */
  get isBlocked(): boolean {
    return this.#refusal !== 0
  }

  /**
   * Prepares for `count` records from `sequence` on, or for new ones where it is undefined; `openCount` are in the open
   * batch. Returns whether they may join that: otherwise it is to be published, and `begin` called. Throws
   * `OUT_OF_SEQUENCE` where they would leave a gap, or are partly new.
   */
  joins(sequence: number | undefined, count: number, openCount: number): boolean {
    // A batch that was given its sequence keeps it, also where what came before it was refused.
    const first = openCount > 0 && this.#given !== NEW ? this.#given : this.#next
    const nextNew = this.isRepeating ? this.#next : first + openCount
    if (sequence === undefined || sequence === nextNew) {
      if (sequence !== undefined) this.#given = sequence - openCount
      else if (openCount === 0) this.#given = NEW
      return !this.isRepeating
    }
    if (sequence > nextNew) throw outOfSequence(`sequence ${sequence} leaves out what comes before it`, nextNew)
    if (sequence + count > nextNew)
      throw outOfSequence(`a batch of ${count} records from sequence ${sequence} on is there in part`, nextNew)
    return this.isRepeating && sequence === this.#repeated + openCount
  }

  /** Begins a batch with this sequence; undefined is a new one's. */
  begin(sequence: number | undefined): void {
    this.#given = sequence ?? NEW
    this.#repeated = sequence === undefined || sequence === this.#next ? NEW : sequence
  }

  /** The open batch is closed, goes into `slot`, and has this sequence. */
  close(slot: number, recordCount: number): number {
    let first = this.#next
    if (this.isRepeating) {
      first = this.#repeated
      this.#repeated += recordCount
      // What it repeats may have been refused meanwhile: then it is new, and what comes next is behind it.
      if (first <= this.#next) this.#next = Math.max(this.#next, this.#repeated)
    } else {
      if (this.#given !== NEW) {
        first = this.#given
        this.#given += recordCount
      }
      if (first === this.#next) this.#next += recordCount
    }
    if (this.#firsts !== undefined) this.#firsts[slot] = first
    return first
  }

  /** Whether the batch in `slot`, which is acknowledged, had been there before. */
  settleAccepted(slot: number, recordCount: number): boolean {
    if (this.#firsts === undefined) return false
    const end = this.#firsts[slot] + recordCount
    if (end <= this.accepted) return true
    this.accepted = end
    return false
  }

  /** Takes notice of a refusal and returns the outcome to be told, which is the first one's where this follows from it. */
  settleRefused(outcome: number): number {
    if (this.#firsts === undefined) return outcome
    if (this.#refusal === 0) this.#refusal = outcome
    return isOutOfSequence(outcome) ? this.#refusal : outcome
  }

  /** Nothing is in flight: what was refused may be sent again, with the sequences that it had. */
  settleAll(): void {
    if (this.#refusal === 0) return
    this.#refusal = 0
    assert(this.accepted <= this.#next, 'accepted <= next')
    this.#next = this.accepted
  }
}

function outOfSequence(what: string, expected: number): WalrusError {
  return new WalrusError(
    'OUT_OF_SEQUENCE',
    `${what}; the next new record of the producer has sequence ${expected}: go on with that`,
    { expected },
  )
}
