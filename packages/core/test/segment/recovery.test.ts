import { describe, expect, it } from 'vitest'
import { type Behind, classifyDamage, decideRecovery, type RecoveryMode } from '#core/segment/recovery.js'
import type { ScanResult } from '#core/segment/scan.js'

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

function damaged(offsetNext: number, batchCount: number, acknowledgedOffset: number): ScanResult {
  return {
    position: 64,
    offsetNext,
    damage: { position: 64, reason: 'bad-checksum', offset: offsetNext },
    later: { batchCount, positionFirst: 0, offsetFirst: 0, acknowledgedOffset },
  }
}

describe('the recovery decision', () => {
  it.each(TABLE)('in mode %s with %s behind the damage is to %s', (mode, behind, action) => {
    expect(decideRecovery(mode, behind)).toBe(action)
  })

  it('takes nothing behind for a torn tail', () => {
    expect(classifyDamage(damaged(10, 0, 0), 0)).toBe('nothing')
  })

  it('takes later batches that know nothing of the damaged record for writes that the disk reordered', () => {
    expect(classifyDamage(damaged(10, 3, 10), 10)).toBe('unacknowledged')
  })

  it('takes a later batch, in this segment or another, that knew the damaged record as acknowledged for proof', () => {
    expect(classifyDamage(damaged(10, 1, 11), 0)).toBe('acknowledged')
    expect(classifyDamage(damaged(10, 0, 0), 11)).toBe('acknowledged')
    expect(classifyDamage(damaged(10, 2, 4), 500)).toBe('acknowledged')
  })
})
