import { assert } from '../errors.js'
import type { StoredProducer } from '../format/producers-file.js'

/**
 * What one named producer has in a partition. `sequenceNext` is one past the last sequence that was accepted, 0 before
 * the first.
 */
interface ProducerEntry {
  epoch: number
  sequenceNext: number
  /** Batches accepted last, oldest first, `RECENT_NUMBERS` numbers each: first sequence, records, base offset. */
  recent: number[]
}

/** At least so many batches of a producer are remembered with their offsets, so that a retry is told where they are. */
export const RECENT_BATCHES = 16

const RECENT_NUMBERS = 3

/**
 * What `check` says of a batch. 0 and above: it is there already. A whole number is its offset; a number and a half says
 * that its records are not together, the last of them in the batch at that offset.
 */
export const ADMIT = -1
/** It is there, and acknowledged, and nobody remembers where. */
export const DUPLICATE = 0.5
/** A newer epoch of the producer is known. */
export const FENCED = -3
/** It does not begin where the last one ended. */
export const OUT_OF_SEQUENCE = -4

/**
 * The named producers of one partition: who may write, and how far each has come. Pure; owned by the partition's writer.
 * It is asked once a batch, for batches of named producers only.
 *
 * Invariants: an entry's epoch and sequence only grow; its recent batches are ascending and without a gap, and end at
 * `sequenceNext`; all that is not acknowledged yet is among them.
 */
export class ProducerTable {
  readonly #entries = new Map<number, ProducerEntry>()
  readonly #hasBeenUsed: boolean

  /** `hasBeenUsed`: a name was opened here once, whatever came of it. */
  constructor(hasBeenUsed = false) {
    this.#hasBeenUsed = hasBeenUsed
  }

  /** Batches of an older epoch than this are refused from now on. */
  fence(id: number, epoch: number): void {
    const entry = this.#entry(id)
    if (epoch > entry.epoch) entry.epoch = epoch
  }

  epochOf(id: number): number {
    return this.#entries.get(id)?.epoch ?? 0
  }

  /** Last sequence that was accepted of the producer; -1 where none was. */
  lastSequence(id: number): number {
    return (this.#entries.get(id)?.sequenceNext ?? 0) - 1
  }

  /** What is to become of a batch. Changes nothing; a batch that is admitted and staged is then `add`ed. */
  check(id: number, epoch: number, sequenceFirst: number, recordCount: number): number {
    const entry = this.#entries.get(id)
    if (entry === undefined) return sequenceFirst === 0 ? ADMIT : OUT_OF_SEQUENCE
    if (epoch < entry.epoch) return FENCED
    if (sequenceFirst === entry.sequenceNext) return ADMIT
    if (sequenceFirst + recordCount > entry.sequenceNext) return OUT_OF_SEQUENCE
    return offsetOf(entry.recent, sequenceFirst, recordCount)
  }

  /**
   * Takes a batch in that was staged, or found in a file. Of what is below `acknowledgedOffset` only the latest batches
   * are remembered; the others are, so that no duplicate is acknowledged before the batch that it repeats.
   */
  add(
    id: number,
    epoch: number,
    sequenceFirst: number,
    recordCount: number,
    baseOffset: number,
    acknowledgedOffset: number,
  ): void {
    const entry = this.#entry(id)
    if (epoch > entry.epoch) entry.epoch = epoch
    const { recent } = entry
    // Out of order only where recovery gave up what was damaged, as it was told to.
    if (sequenceFirst !== entry.sequenceNext) recent.length = 0
    recent.push(sequenceFirst, recordCount, baseOffset)
    entry.sequenceNext = Math.max(entry.sequenceNext, sequenceFirst + recordCount)
    if (recent.length <= 2 * RECENT_BATCHES * RECENT_NUMBERS) return
    // Cut back now and then, not with each batch.
    let gone = 0
    while (
      recent.length - gone > RECENT_BATCHES * RECENT_NUMBERS &&
      recent[gone + 2] + recent[gone + 1] <= acknowledgedOffset
    ) {
      gone += RECENT_NUMBERS
    }
    recent.splice(0, gone)
  }

  /** Whether any name was opened here: then it is kept how far each came, be it that none has written. */
  get isUsed(): boolean {
    return this.#hasBeenUsed || this.#entries.size > 0
  }

  /** Those who have written here, for a snapshot. */
  states(): StoredProducer[] {
    const states: StoredProducer[] = []
    for (const [id, { epoch, sequenceNext, recent }] of this.#entries) {
      if (sequenceNext === 0) continue
      const batches: { sequenceFirst: number; recordCount: number; baseOffset: number }[] = []
      const from = Math.max(recent.length - RECENT_BATCHES * RECENT_NUMBERS, 0)
      for (let at = from; at < recent.length; at += RECENT_NUMBERS) {
        batches.push({ sequenceFirst: recent[at], recordCount: recent[at + 1], baseOffset: recent[at + 2] })
      }
      states.push({ id, epoch, sequenceNext, recent: batches })
    }
    return states
  }

  /** Takes over what a snapshot says. */
  restore(states: readonly StoredProducer[]): void {
    for (const { id, epoch, sequenceNext, recent } of states) {
      assert(!this.#entries.has(id), 'a snapshot is taken over before anything else')
      const numbers = recent.flatMap((batch) => [batch.sequenceFirst, batch.recordCount, batch.baseOffset])
      this.#entries.set(id, { epoch, sequenceNext, recent: numbers })
    }
  }

  #entry(id: number): ProducerEntry {
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      entry = { epoch: 0, sequenceNext: 0, recent: [] }
      this.#entries.set(id, entry)
    }
    return entry
  }
}

/** Where the records of these sequences are, as `check` says it. */
function offsetOf(recent: readonly number[], sequenceFirst: number, recordCount: number): number {
  let at = recent.length - RECENT_NUMBERS
  while (at >= 0 && recent[at] > sequenceFirst) at -= RECENT_NUMBERS
  if (at < 0) return DUPLICATE
  const offset = recent[at + 2] + sequenceFirst - recent[at]
  let isTogether = true
  for (let covered = recent[at] + recent[at + 1] - sequenceFirst; covered < recordCount; ) {
    const next = at + RECENT_NUMBERS
    if (recent[next + 2] !== recent[at + 2] + recent[at + 1]) isTogether = false
    at = next
    covered += recent[at + 1]
  }
  return isTogether ? offset : recent[at + 2] + 0.5
}
