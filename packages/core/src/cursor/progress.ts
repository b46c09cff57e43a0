import { assert } from '../errors.js'

/** When a consumer's cursors are made durable. */
export type Checkpoint = 'each' | { every: number } | 'manual'

/** One partition as its consumer goes through it. */
interface Place {
  partition: number
  generation: number
  /** The next record to hand out. */
  next: number
  /** All before it are handled. */
  handled: number
  /** The cursor that the last commit was begun with, and the one that the last durable commit had. */
  begun: number
  durable: number
}

/** A commit on its way: the cursors to be written, all at once. */
export interface Commit {
  cursors: { partition: number; generation: number; offset: number }[]
  /** How many records handed out it covers. */
  readonly covers: number
}

/**
 * What a consumer has handed out, what of that is handled, and what of that is durable: it says when a commit is due and
 * how many records may be handed out before one is. Pure: no clock, no disk.
 *
 * Counts are of records handed out by this consumer. Invariants:
 *
 *   durable <= begun <= handled <= handedOut
 *   'each':      handed out while durable = handled only, so that a record whose successor was asked for never comes again
 *   { every }:   handedOut - durable <= every, so that no more than that is repeated
 */
export class ConsumerProgress {
  readonly #checkpoint: Checkpoint
  readonly #places = new Map<number, Place>()
  #handedOut = 0
  #handled = 0
  #begun = 0
  #durable = 0
  /** A partition went to another member with records that were handed out here and not committed. */
  #hasLost = false

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint
  }

  /** A partition is this consumer's from `offset` on, which is durable. */
  assign(partition: number, generation: number, offset: number): void {
    const place = { partition, generation, next: offset, handled: offset, begun: offset, durable: offset }
    this.#places.set(partition, place)
  }

  /** A partition is this consumer's no more. What was not committed of it comes again, elsewhere. */
  revoke(partition: number): void {
    const place = this.#place(partition)
    if (place.next !== place.durable) this.#hasLost = true
    this.#places.delete(partition)
  }

  next(partition: number): number {
    return this.#place(partition).next
  }

  /** `count` records of a partition are handed out, the last of which is the one before `next`. */
  handOut(partition: number, next: number, count: number): void {
    this.#place(partition).next = next
    this.#handedOut += count
  }

  /** Whether records of the partition, or of any, are handed out and not handled. */
  isInHand(partition?: number): boolean {
    if (partition === undefined) return this.#handedOut > this.#handled
    const place = this.#place(partition)
    return place.next !== place.handled
  }

  /** All that was handed out is handled. */
  handle(): void {
    this.#handled = this.#handedOut
    for (const place of this.#places.values()) place.handled = place.next
  }

  /** What was handed out and is not handled will be handed out again. Returns the partitions to be read again. */
  putBack(): number[] {
    this.#handedOut = this.#handled
    const again: number[] = []
    for (const place of this.#places.values()) {
      if (place.next === place.handled) continue
      place.next = place.handled
      again.push(place.partition)
    }
    return again
  }

  /** Goes elsewhere in a partition; what is in hand of it is handled. */
  seek(partition: number, offset: number): void {
    const place = this.#place(partition)
    place.next = offset
    place.handled = offset
  }

  /** How many records may be handed out now; 0: only when the commit under way is durable. */
  get mayHandOut(): number {
    if (this.#checkpoint === 'manual') return Number.POSITIVE_INFINITY
    if (this.#checkpoint === 'each') return this.#handled > this.#durable ? 0 : Number.POSITIVE_INFINITY
    return Math.max(this.#checkpoint.every - (this.#handedOut - this.#durable), 0)
  }

  /** The same after all that was handed out is handled, and after as many commits as it takes for it not to be 0. */
  get mayHandOutNext(): number {
    if (typeof this.#checkpoint === 'string') return Number.POSITIVE_INFINITY
    const open = this.#handedOut - this.#durable
    if (open < this.#checkpoint.every) return this.#checkpoint.every - open
    // Of a commit that is on its way, what it covers; the next one covers all.
    return this.#checkpoint.every - (this.#begun > this.#durable ? this.#handedOut - this.#begun : 0)
  }

  /** Whether a commit should be begun: in good time, so that handing out hardly ever waits for it. */
  get isCommitDue(): boolean {
    if (this.#checkpoint === 'manual') return false
    const open = this.#handled - this.#begun
    return open > 0 && (this.#checkpoint === 'each' || open >= Math.ceil(this.#checkpoint.every / 2))
  }

  /** Whether records were handed out, not committed, and given to another member since the last commit. */
  takeLost(): boolean {
    const hasLost = this.#hasLost
    this.#hasLost = false
    return hasLost
  }

  /** Begins to commit all that is handled; undefined where nothing of it is new. One commit at a time. */
  maybeBegin(): Commit | undefined {
    const cursors: Commit['cursors'] = []
    for (const place of this.#places.values()) {
      if (place.handled === place.begun) continue
      place.begun = place.handled
      cursors.push({ partition: place.partition, generation: place.generation, offset: place.handled })
    }
    this.#begun = this.#handled
    if (cursors.length > 0) return { cursors, covers: this.#begun }
    // Only partitions that are gone have moved, or one came back to where it was.
    this.#durable = this.#begun
    return undefined
  }

  /** The commit is durable. */
  end(commit: Commit): void {
    assert(commit.covers <= this.#begun, 'durable <= begun')
    this.#durable = Math.max(this.#durable, commit.covers)
    for (const { partition, generation, offset } of commit.cursors) {
      const place = this.#places.get(partition)
      if (place?.generation === generation) place.durable = offset
    }
  }

  /** The commit failed: what it covered is to be committed again. */
  fail(): void {
    this.#begun = this.#durable
    for (const place of this.#places.values()) place.begun = place.durable
  }

  #place(partition: number): Place {
    const place = this.#places.get(partition)
    assert(place !== undefined, `partition ${partition} is this consumer's`)
    return place
  }
}
