import { describe, expect, test } from 'vitest'
import { ADMIT, DUPLICATE, FENCED, OUT_OF_SEQUENCE, ProducerTable, RECENT_BATCHES } from '#core/log/producer-state.js'
import { check, fc } from '../support/property.js'

describe('a producer', () => {
  test('begins with sequence 0, and goes on where it ended', () => {
    const table = new ProducerTable()
    expect(table.check(1, 1, 1, 1)).toBe(OUT_OF_SEQUENCE)
    expect(table.check(1, 1, 0, 3)).toBe(ADMIT)
    table.add(1, 1, 0, 3, 100, 0)
    expect(table.lastSequence(1)).toBe(2)
    expect(table.check(1, 1, 3, 1)).toBe(ADMIT)
    expect(table.check(1, 1, 4, 1)).toBe(OUT_OF_SEQUENCE)
    expect(table.lastSequence(2)).toBe(-1)
  })

  test('is told where a batch is that it sends again, also cut otherwise', () => {
    const table = new ProducerTable()
    table.add(1, 1, 0, 3, 100, 0)
    table.add(1, 1, 3, 2, 103, 0)
    table.add(1, 1, 5, 5, 200, 0)
    expect(table.check(1, 1, 0, 3)).toBe(100)
    expect(table.check(1, 1, 1, 1)).toBe(101)
    expect(table.check(1, 1, 1, 4)).toBe(101)
    expect(table.check(1, 1, 6, 4)).toBe(201)
    // Its records are not beside one another.
    expect(table.check(1, 1, 4, 2)).toBe(200.5)
    // Half of it is there, half of it is not.
    expect(table.check(1, 1, 8, 4)).toBe(OUT_OF_SEQUENCE)
  })

  test('of an older epoch is refused whatever it sends, and the newer one goes on behind it', () => {
    const table = new ProducerTable()
    table.add(1, 1, 0, 3, 100, 0)
    table.fence(1, 2)
    for (const [first, count] of [
      [0, 3],
      [3, 1],
      [9, 1],
    ])
      expect(table.check(1, 1, first, count)).toBe(FENCED)
    expect(table.check(1, 2, 3, 1)).toBe(ADMIT)
    table.fence(1, 1)
    expect(table.epochOf(1)).toBe(2)
  })

  test('has all that is not acknowledged remembered, and of the rest the latest batches', () => {
    const table = new ProducerTable()
    for (let batch = 0; batch < 1000; batch++) table.add(1, 1, batch, 1, batch, 500)
    for (const batch of [500, 700, 999]) expect(table.check(1, 1, batch, 1)).toBe(batch)
    table.add(1, 1, 1000, 1, 1000, 1000)
    expect(table.check(1, 1, 499, 1)).toBe(DUPLICATE)
    expect(table.check(1, 1, 500, 1)).toBe(DUPLICATE)
    for (let back = 0; back < RECENT_BATCHES; back++) expect(table.check(1, 1, 1000 - back, 1)).toBe(1000 - back)
    expect(table.states()[0].recent).toHaveLength(RECENT_BATCHES)
  })
})

type Step =
  | { kind: 'send'; id: number; back: number; epochBack: number; count: number; others: number }
  | { kind: 'fence'; id: number }
  | { kind: 'reopen' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      id: fc.integer({ min: 1, max: 3 }),
      /** How far before its next sequence the batch begins; below 0 is a gap. */
      back: fc.oneof(fc.constant(0), fc.integer({ min: -2, max: 40 })),
      epochBack: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
      count: fc.integer({ min: 1, max: 4 }),
      others: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fence' as const), id: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
)

test('any sends, retries, gaps and openings leave each record once, in order, and every answer is true', () => {
  check(
    fc.array(step, { maxLength: 120 }),
    (steps) => {
      // The model is the log itself: which record of which producer stands at which offset.
      const log: string[] = []
      const sent = new Map<number, number[]>()
      const epochs = new Map<number, number>()
      let table = new ProducerTable()
      for (const current of steps) {
        if (current.kind === 'reopen') {
          const states = table.states()
          table = new ProducerTable()
          table.restore(structuredClone(states))
          for (const [id, epoch] of epochs) table.fence(id, epoch)
          continue
        }
        const { id } = current
        if (current.kind === 'fence') {
          epochs.set(id, (epochs.get(id) ?? 0) + 1)
          table.fence(id, epochs.get(id)!)
          continue
        }
        for (let other = 0; other < current.others; other++) log.push('other')
        const own = sent.get(id) ?? []
        const epoch = (epochs.get(id) ?? 0) - current.epochBack
        const first = own.length - current.back
        const { count } = current
        if (first < 0 || epoch < 0) continue
        const answer = table.check(id, epoch, first, count)
        if (current.epochBack > 0) {
          expect(answer).toBe(FENCED)
        } else if (first === own.length) {
          expect(answer).toBe(ADMIT)
          table.add(id, epoch, first, count, log.length, log.length)
          for (let index = 0; index < count; index++) {
            own.push(log.length)
            log.push(`${id} ${first + index}`)
          }
          sent.set(id, own)
        } else if (first + count > own.length) {
          expect(answer).toBe(OUT_OF_SEQUENCE)
        } else if (Number.isInteger(answer)) {
          expect(log.slice(answer, answer + count)).toEqual(
            Array.from({ length: count }, (_none, index) => `${id} ${first + index}`),
          )
        } else {
          const places = own.slice(first, first + count)
          const isTogether = places.every((offset, index) => offset === places[0] + index)
          // Only what is old, or lies apart, may be forgotten.
          expect(isTogether && current.back < RECENT_BATCHES).toBe(false)
          expect(answer === DUPLICATE || log[answer - 0.5].startsWith(`${id} `)).toBe(true)
        }
        expect(table.lastSequence(id)).toBe((sent.get(id) ?? []).length - 1)
      }
    },
    300,
  )
})
