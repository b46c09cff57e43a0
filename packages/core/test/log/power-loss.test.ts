import { describe, expect, it } from 'vitest'
import { cutPartition } from '#core/log/cut-partition.js'
import type { PartitionLog } from '#core/log/partition-log.js'
import { type RolledSegment, sealSegment } from '#core/segment/seal.js'
import { append, openPartition, readRecords } from '../support/partition.js'
import { check, fc } from '../support/property.js'
import { type Random, SimulatedDisk } from '../support/simulated-disk.js'

const DIRECTORY = '/disk/topic/0'
const SEGMENT_BYTES = 2048

type Action =
  | { type: 'append'; bytes: number }
  /** Makes all durable, and acknowledges it. */
  | { type: 'sync' }
  /** Seals the oldest segment that waits for it. */
  | { type: 'seal' }
  /** The process ends and another begins; the disk keeps its power. */
  | { type: 'reopen'; isKilled: boolean }
  /** A failed write: everything that is not acknowledged is taken back. */
  | { type: 'takeBack' }
  | { type: 'losePower' }
  /** The process dies at that call from now on, in whatever it does then, and the power goes with it. */
  | { type: 'dieAfter'; calls: number }

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ type: fc.constant('append'), bytes: fc.integer({ min: 0, max: 900 }) }) },
  { weight: 4, arbitrary: fc.constant({ type: 'sync' }) },
  { weight: 2, arbitrary: fc.constant({ type: 'seal' }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('reopen'), isKilled: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ type: 'takeBack' }) },
  { weight: 2, arbitrary: fc.constant({ type: 'losePower' }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('dieAfter'), calls: fc.integer({ min: 0, max: 25 }) }) },
) as fc.Arbitrary<Action>

/** A writer and its disk, and what the writer promised. */
class Story {
  readonly #disk = new SimulatedDisk()
  readonly #random: Random
  #log: PartitionLog
  #rolled: RolledSegment[] = []
  /** Everything in the log, as the writer knows it, and how much of it is acknowledged. */
  #written: string[] = []
  #acknowledged = 0
  #durable = { baseOffset: 0, position: 0, offset: 0 }
  #count = 0

  constructor(random: Random) {
    this.#random = random
    this.#log = this.#open()
  }

  run(next: Action): void {
    if (next.type === 'dieAfter') {
      this.#disk.callsLeft = next.calls
      return
    }
    try {
      this.#do(next)
    } catch (error) {
      if ((error as { code?: string }).code !== 'EIO') throw error
      this.#losePower()
    }
  }

  end(): void {
    this.#losePower()
  }

  #do(next: Exclude<Action, { type: 'dieAfter' }>): void {
    switch (next.type) {
      case 'append': {
        const value = `${this.#count++}:${'x'.repeat(next.bytes)}`
        this.#written.push(value)
        append(this.#log, value)
        return
      }
      case 'sync':
        while (this.#rolled.length > 0) this.#sealOldest()
        this.#log.sync()
        this.#acknowledgeAll()
        return
      case 'seal':
        if (this.#rolled.length > 0) this.#sealOldest()
        return
      case 'reopen':
        if (next.isKilled) this.#log.abandon()
        else this.#log.close()
        this.#reopen(this.#written.length)
        return
      case 'takeBack':
        this.#log.abandon()
        cutPartition(this.#disk, DIRECTORY, this.#durable, 0)
        this.#written.length = this.#acknowledged
        this.#reopen(this.#acknowledged)
        return
      case 'losePower':
        this.#losePower()
    }
  }

  #sealOldest(): void {
    sealSegment(this.#disk, DIRECTORY, this.#rolled[0], 0)
    this.#rolled.shift()
  }

  #acknowledgeAll(): void {
    this.#acknowledged = this.#log.offsetNext
    this.#log.acknowledgedOffset = this.#acknowledged
    const { openBaseOffset: baseOffset, positionWritten: position, offsetNext: offset } = this.#log
    this.#durable = { baseOffset, position, offset }
  }

  #losePower(): void {
    this.#disk.losePower(this.#random)
    this.#reopen(this.#acknowledged)
  }

  /** Opens strictly, and checks that what is there is what was written, in order, up to `least` at least. */
  #reopen(least: number): void {
    this.#rolled = []
    this.#log = this.#open()
    const found = this.#read()
    expect(found.length).toBeGreaterThanOrEqual(least)
    expect(found).toEqual(this.#written.slice(0, found.length))
    this.#written = found
    // What a recovery hands out has to stay.
    this.#acknowledgeAll()
  }

  #open(): PartitionLog {
    return openPartition(DIRECTORY, {
      fs: this.#disk,
      segmentBytes: SEGMENT_BYTES,
      onRolled: (segment) => this.#rolled.push(segment),
    })
  }

  #read(): string[] {
    const { offsetNext } = this.#log
    if (offsetNext === 0) return []
    const records = readRecords(DIRECTORY, 0, offsetNext, { fs: this.#disk })
    expect(records.map(({ offset }) => offset)).toEqual(Array.from({ length: offsetNext }, (_, index) => index))
    return records.map(({ value }) => value)
  }
}

function randomOf(seed: number): Random {
  let state = seed | 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    // The low bits of such a generator are poor; the high ones do.
    return (state >>> 8) / 2 ** 24
  }
}

describe('a disk that loses its power, again and again', () => {
  it('keeps all that was acknowledged, in order and once, and opens strictly each time', () => {
    const stories = fc.tuple(fc.integer(), fc.array(action, { maxLength: 60 }))
    check(
      stories,
      ([seed, actions]) => {
        const story = new Story(randomOf(seed))
        for (const next of actions) story.run(next)
        story.end()
      },
      1500,
    )
  })
})
