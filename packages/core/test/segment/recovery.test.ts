import { describe, expect, it } from 'vitest'
import { type Behind, classifyDamage, decideRecovery, type RecoveryMode, type Witness } from '#core/segment/recovery.js'

/** The table of `docs/format.md`. */
const TABLE: [RecoveryMode, Behind, ReturnType<typeof decideRecovery>][] = [
  ['strict', 'nothing', 'cut'],
  ['strict', 'unacknowledged', 'cut'],
  ['strict', 'acknowledged', 'refuse'],
  ['tail', 'nothing', 'cut'],
  ['tail', 'unacknowledged', 'cut'],
  ['tail', 'acknowledged', 'cut'],
  ['skip', 'nothing', 'cut'],
  ['skip', 'unacknowledged', 'keep-and-skip'],
  ['skip', 'acknowledged', 'keep-and-skip'],
]

const found = (batchCount: number, acknowledgedOffset: number): Witness => ({ batchCount, acknowledgedOffset })

describe('the recovery decision', () => {
  it.each(TABLE)('in mode %s with %s behind the damage is to %s', (mode, behind, action) => {
    expect(decideRecovery(mode, behind)).toBe(action)
  })

  it('takes nothing behind for a torn tail', () => {
    expect(classifyDamage(10, found(0, 0), found(0, 0))).toBe('nothing')
    expect(classifyDamage(10)).toBe('nothing')
  })

  it('takes later batches that know nothing of the damaged record for writes that the disk reordered', () => {
    expect(classifyDamage(10, found(3, 10), found(0, 10))).toBe('unacknowledged')
  })

  it('takes a later batch, in this segment or another, that knew the damaged record as acknowledged for proof', () => {
    expect(classifyDamage(10, found(1, 11), found(0, 0))).toBe('acknowledged')
    expect(classifyDamage(10, found(0, 0), found(0, 11))).toBe('acknowledged')
    expect(classifyDamage(10, found(2, 4), found(0, 500))).toBe('acknowledged')
  })
})
