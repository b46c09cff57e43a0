import { expect, test } from 'vitest'
import { SlotBits, setBit } from '#actors/memory/slot-bits.js'
import { check, fc } from '../support/seeded.js'

test('what was set is given once, whether it was set before or after the slot was included', () => {
  check(fc.uniqueArray(fc.nat(999)), (slots) => {
    const words = new Int32Array(new SharedArrayBuffer(4 * 40))
    const bits = new SlotBits(words, 5)
    for (const slot of slots) {
      setBit(words, 5, slot)
      setBit(words, 5, slot)
    }
    expect(bits.hasAny).toBe(false)
    for (const slot of slots) bits.include(slot)
    expect(bits.hasAny).toBe(slots.length > 0)
    const given: number[] = []
    bits.take((slot) => given.push(slot))
    expect(given).toEqual([...slots].sort((left, right) => left - right))
    expect([bits.hasAny, bits.take(() => {})]).toEqual([false, false])
  })
})

test('a slot that is set while it is looked at is given again', () => {
  const words = new Int32Array(new SharedArrayBuffer(4))
  const bits = new SlotBits(words, 0)
  bits.include(3)
  setBit(words, 0, 3)
  bits.take((slot) => setBit(words, 0, slot))
  expect(bits.hasAny).toBe(true)
})
