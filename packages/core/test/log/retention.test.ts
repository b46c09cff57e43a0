import { describe, expect, it } from 'vitest'
import { countForgotten, countRemovable, planRetention, type Retention } from '#core/log/retention.js'
import { check, fc } from '../support/property.js'

interface Segment {
  records: number
  bytes: number
  lastMs: number
  isSealed: boolean
}

const segment: fc.Arbitrary<Segment> = fc.record({
  records: fc.integer({ min: 1, max: 5 }),
  bytes: fc.integer({ min: 1, max: 100 }),
  lastMs: fc.integer({ min: 0, max: 100 }),
  isSealed: fc.boolean(),
})
const limit = fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined })
const partition = fc.record({
  first: fc.integer({ min: 0, max: 10 }),
  segments: fc.array(segment, { maxLength: 8 }),
  open: fc.nat(8),
  retention: fc.record({ ms: limit, bytes: limit, records: limit }),
  nowMs: fc.integer({ min: 0, max: 200 }),
})

function offsetsOf(first: number, segments: readonly Segment[]): { bases: number[]; next: number } {
  let next = first
  const bases = segments.map(({ records }) => {
    next += records
    return next - records
  })
  return { bases, next }
}

/** The rule in words: the oldest goes while what is left of records or bytes is enough, or it is old. */
function modelOf(segments: readonly Segment[], removable: number, retention: Retention, nowMs: number): number {
  const sum = (rest: readonly Segment[], of: 'records' | 'bytes') => rest.reduce((total, each) => total + each[of], 0)
  let gone = 0
  while (gone < removable) {
    const rest = segments.slice(gone + 1)
    const mayGo =
      (retention.ms !== undefined && nowMs - segments[gone].lastMs >= retention.ms) ||
      (retention.bytes !== undefined && sum(rest, 'bytes') >= retention.bytes) ||
      (retention.records !== undefined && sum(rest, 'records') >= retention.records)
    if (!mayGo) break
    gone++
  }
  return gone
}

describe('retention', () => {
  it('lets go what the model lets go, and says when the next segment comes of age', () => {
    check(
      partition,
      ({ first, segments, open, retention, nowMs }) => {
        const { bases, next } = offsetsOf(first, segments)
        const openBase = bases[open] ?? next
        const removable = countRemovable(bases, (base) => segments[bases.indexOf(base)].isSealed, openBase)
        const state = {
          bases,
          removable,
          offsetNext: next,
          bytesTotal: () => segments.reduce((total, { bytes }) => total + bytes, 0),
          bytesOf: (place: number) => segments[place].bytes,
          lastMsOf: (place: number) => segments[place].lastMs,
        }
        const gone = modelOf(segments, removable, retention, nowMs)
        const plan = planRetention(state, retention, nowMs)
        expect(plan.offsetFirst).toBe(bases[gone] ?? next)
        if (plan.dueMs !== undefined) {
          expect(plan.dueMs).toBeGreaterThan(nowMs)
          // Nothing but time passes: then, and not before, there is more to let go.
          expect(planRetention(state, retention, plan.dueMs - 1).offsetFirst).toBe(plan.offsetFirst)
          expect(planRetention(state, retention, plan.dueMs).offsetFirst).toBeGreaterThan(plan.offsetFirst)
        } else if (retention.ms !== undefined) expect(gone).toBe(removable)
      },
      500,
    )
  })

  it('never touches the last sealed segment, the one that takes writes, nor anything behind an unsealed one', () => {
    check(partition, ({ first, segments, open }) => {
      const { bases, next } = offsetsOf(first, segments)
      const openBase = bases[open] ?? next
      const isSealed = (base: number) => segments[bases.indexOf(base)].isSealed
      const removable = countRemovable(bases, isSealed, openBase)
      for (const base of bases.slice(0, removable + 1)) {
        if (removable > 0) expect(isSealed(base) && base < openBase).toBe(true)
      }
      for (let before = 0; before <= next + 1; before++) {
        const count = countForgotten(bases, removable, before)
        expect(count).toBeLessThanOrEqual(removable)
        for (const [place, base] of bases.entries()) {
          if (place < count) expect(bases[place + 1]).toBeLessThanOrEqual(before)
          else if (place < removable) expect(base + segments[place].records).toBeGreaterThan(before)
        }
      }
    })
  })
})
