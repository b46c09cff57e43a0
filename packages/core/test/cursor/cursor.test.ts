import { describe, expect, it } from 'vitest'
import { type CursorEntry, CursorTable, decodeCursor, encodeCursor, placeCursor } from '#core/cursor/cursor.js'
import { refusal } from '../support/partition.js'
import { check, fc } from '../support/property.js'

const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/)
const key = fc.record({
  group: name,
  topic: name,
  createdMs: fc.integer({ min: 0, max: 2 ** 45 }),
  partition: fc.nat(4095),
})
const large = fc.maxSafeNat()

const KEY = { group: 'g', topic: 't', createdMs: 1, partition: 0 }

describe('a cursor as a record', () => {
  it('reads as it was written, whatever its numbers', () => {
    check(fc.tuple(key, large, large, fc.nat()), ([of, offset, generation, at]) => {
      expect(decodeCursor(encodeCursor({ ...of, offset, generation }), at)).toEqual({
        ...of,
        offset,
        generation,
        version: at,
      })
      expect(decodeCursor(encodeCursor({ ...of, offset, generation }, 77), at).version).toBe(77)
    })
  })

  it('is refused in another form, and where it is none', () => {
    const value = encodeCursor({ ...KEY, offset: 1, generation: 1 })
    const other = value.slice()
    other[0] = 2
    expect(refusal('FORMAT_VERSION', () => decodeCursor(other, 5)).offset).toBe(5)
    for (const none of [null, new Uint8Array(0), value.slice(0, 32), value.slice(0, 34)]) {
      expect(refusal('SEGMENT_CORRUPT', () => decodeCursor(none, 5)).offset).toBe(5)
    }
  })
})

describe('a table of cursors', () => {
  const entries = fc.array(
    fc.record({
      group: fc.constantFrom('a', 'b'),
      topic: fc.constant('t'),
      createdMs: fc.constant(1),
      partition: fc.nat(1),
      offset: fc.nat(9),
      generation: fc.nat(3),
    }),
  )

  const tableOf = (list: readonly CursorEntry[]): string[] => {
    const table = new CursorTable()
    for (const entry of list) table.maybeTake(entry)
    return [...table.entries()].map((entry) => JSON.stringify(entry)).sort()
  }

  it('is the same in whatever order, and however often, its entries are taken', () => {
    check(fc.tuple(entries, fc.infiniteStream(fc.nat(1000))), ([list, order]) => {
      const versioned = list.map((entry, version) => ({ ...entry, version }))
      const shuffled = [...versioned, ...versioned]
        .map((entry) => ({ entry, place: order.next().value }))
        .sort((left, right) => left.place - right.place)
        .map(({ entry }) => entry)
      expect(tableOf(shuffled)).toEqual(tableOf(versioned))
    })
  })

  it('counts nothing that a former holder wrote, and no copy of what was overtaken', () => {
    const table = new CursorTable()
    expect(table.maybeTake({ ...KEY, offset: 5, generation: 2, version: 10 })).toBe(true)
    expect(table.maybeTake({ ...KEY, offset: 9, generation: 1, version: 11 })).toBe(false)
    expect(table.maybeTake({ ...KEY, offset: 2, generation: 2, version: 12 })).toBe(true)
    expect(table.maybeTake({ ...KEY, offset: 5, generation: 2, version: 10 })).toBe(false)
    expect(table.get(KEY)?.offset).toBe(2)
    table.forget(({ group }) => group === 'g')
    expect(table.size).toBe(0)
  })
})

describe('a place for a cursor', () => {
  it('is always within the data, and says why where it is not the old one', () => {
    check(fc.tuple(fc.nat(20), fc.nat(20), fc.nat(20)), ([offset, first, count]) => {
      const next = first + count
      const placed = placeCursor(offset, first, next)
      expect(placed.offset).toBe(Math.min(Math.max(offset, first), next))
      expect(placed.move).toBe(offset < first ? 'trimmed' : offset > next ? 'data-loss' : undefined)
    })
  })
})
