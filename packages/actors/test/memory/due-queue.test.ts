import { expect, test } from 'vitest'
import { DueQueue } from '#actors/memory/due-queue.js'
import { check, fc } from '../support/seeded.js'

test('gives each slot at its earliest due, the earliest first, and each once', () => {
  const dues = fc.array(fc.tuple(fc.nat(20), fc.nat(100)), { maxLength: 200 })
  check(dues, (all) => {
    const queue = new DueQueue()
    const earliest = new Map<number, number>()
    for (const [slot, dueMs] of all) {
      queue.add(slot, dueMs)
      earliest.set(slot, Math.min(dueMs, earliest.get(slot) ?? Number.POSITIVE_INFINITY))
    }
    const given: [number, number][] = []
    for (let nowMs = 0; nowMs <= 100; nowMs++) {
      for (let slot = queue.take(nowMs); slot !== undefined; slot = queue.take(nowMs)) given.push([slot, nowMs])
    }
    const byDue = (left: [number, number], right: [number, number]) => left[1] - right[1] || left[0] - right[0]
    expect([...given].sort(byDue)).toEqual([...earliest].sort(byDue))
    expect(given.map(([, nowMs]) => nowMs)).toEqual([...given.map(([, nowMs]) => nowMs)].sort((a, b) => a - b))
  })
})

test('a slot that was given may be queued again, for an earlier or a later time', () => {
  const queue = new DueQueue()
  queue.add(1, 50)
  queue.add(1, 10)
  expect(queue.take(10)).toBe(1)
  expect(queue.take(60)).toBeUndefined()
  queue.add(1, 30)
  queue.add(2, 20)
  expect([queue.nextMs, queue.take(40), queue.take(40), queue.take(40)]).toEqual([20, 2, 1, undefined])
  expect(queue.nextMs).toBe(Number.POSITIVE_INFINITY)
})

test('what is never due is not queued', () => {
  const queue = new DueQueue()
  queue.add(1, Number.POSITIVE_INFINITY)
  expect(queue.nextMs).toBe(Number.POSITIVE_INFINITY)
})
