import { ADMIT, ProducerTable } from '@walrus-log/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LaneSequence } from '#actors/log/lane-sequence.js'
import { encodeRefusal } from '#actors/writer/outcome.js'
import { SEED } from './fixture.js'

const SLOTS = 16
const PRODUCER = 1

interface InFlight {
  first: number
  /** The sequence that was given to each record; undefined: none. */
  given: (number | undefined)[]
  outcome: number | undefined
}

/** A lane and its writer, as far as sequences go. */
class Model {
  readonly sequence = new LaneSequence(0, SLOTS, true)
  readonly table = new ProducerTable()
  open: (number | undefined)[] = []
  readonly inFlight: InFlight[] = []
  offset = 0
  #published = 0
  #settled = 0

  /** Whether the record was taken, as `PartitionLane` does it. */
  send(given: number | undefined): boolean {
    if (!this.sequence.joins(given, 1, this.open.length)) {
      this.publish()
      this.sequence.begin(given)
    }
    if (this.open.length === 0 && (this.sequence.isBlocked || this.inFlight.length === SLOTS - 1)) return false
    this.open.push(given)
    return true
  }

  publish(): void {
    if (this.open.length === 0) return
    const first = this.sequence.close(this.#published++ % SLOTS, this.open.length)
    this.inFlight.push({ first, given: this.open, outcome: undefined })
    this.open = []
  }

  /** The writer takes the next batch; a disk that fails refuses it. */
  take(isDiskFailing: boolean): void {
    const batch = this.inFlight.find(({ outcome }) => outcome === undefined)
    if (batch === undefined) return
    const { first, given } = batch
    const answer = this.table.check(PRODUCER, 1, first, given.length)
    // A record is never taken for another one than its sender said; one without a sequence repeats nothing.
    for (const [index, sequence] of given.entries()) {
      if (sequence !== undefined) expect(first + index).toBe(sequence)
      else expect(answer).toBeLessThan(0)
    }
    if (answer !== ADMIT) {
      batch.outcome = answer >= 0 ? answer : encodeRefusal('sequence')
    } else if (isDiskFailing) {
      batch.outcome = encodeRefusal('write')
    } else {
      batch.outcome = this.offset
      this.table.add(PRODUCER, 1, first, given.length, this.offset, 0)
      this.offset += given.length
    }
  }

  settle(): void {
    while (this.inFlight[0]?.outcome !== undefined) {
      const { given, outcome, first } = this.inFlight.shift()!
      const slot = this.#settled++ % SLOTS
      if (outcome! >= 0) {
        const before = this.sequence.accepted
        expect(this.sequence.settleAccepted(slot, given.length)).toBe(first + given.length <= before)
      } else expect(this.sequence.settleRefused(outcome!)).toBeLessThan(0)
    }
    if (this.inFlight.length === 0) this.sequence.settleAll()
  }

  drain(): void {
    this.publish()
    for (const _batch of this.inFlight) this.take(false)
    this.settle()
  }
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('send' as const), back: fc.option(fc.integer({ min: 0, max: 12 })) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('publish' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('take' as const), isFailing: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
)

test('whatever is refused and sent again: no sequence is taken for another, none is left out, and the lane goes on', () => {
  const property = fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
    const model = new Model()
    let sent = 0
    for (const current of steps) {
      if (current.kind === 'send') {
        const given = current.back === null ? undefined : Math.max(sent - current.back, 0)
        try {
          if (model.send(given)) sent = Math.max(sent, given === undefined ? sent : given + 1)
        } catch (error) {
          // What was refused has left a gap, which the lane sees: the caller goes on with what it expects.
          expect(error).toMatchObject({ code: 'OUT_OF_SEQUENCE' })
          sent = (error as { expected: number }).expected
        }
      } else if (current.kind === 'publish') model.publish()
      else if (current.kind === 'take') model.take(current.isFailing)
      else model.settle()
    }
    model.drain()
    model.drain()
    expect(model.sequence.isBlocked).toBe(false)
    expect(model.sequence.accepted - 1).toBe(model.table.lastSequence(PRODUCER))
    // Nothing that was refused is in the way of what comes.
    expect(model.send(model.sequence.accepted)).toBe(true)
    expect(model.send(undefined)).toBe(true)
    model.drain()
    expect(model.table.lastSequence(PRODUCER)).toBe(model.sequence.accepted - 1)
    expect(model.offset).toBe(model.sequence.accepted)
  })
  fc.assert(property, { seed: SEED, numRuns: 2000 })
})
