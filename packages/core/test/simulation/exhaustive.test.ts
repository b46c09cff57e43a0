import { describe, expect, it } from 'vitest'
import { randomOf } from '../support/random.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { type Action, Story } from './story.js'

/** Appends, syncs, rolls, seals late, reopens, resumes, takes back: all that a log's writer does. */
const WORKLOAD: Action[] = [
  { type: 'append', records: 2, bytes: 40 },
  { type: 'sync' },
  { type: 'append', records: 1, bytes: 600 },
  { type: 'append', records: 3, bytes: 20 },
  { type: 'sync' },
  { type: 'append', records: 2, bytes: 300 },
  { type: 'reopen', isKilled: true },
  { type: 'append', records: 2, bytes: 10 },
  { type: 'sync' },
  { type: 'append', records: 1, bytes: 10 },
  { type: 'resume' },
  { type: 'append', records: 4, bytes: 100 },
  { type: 'append', records: 4, bytes: 100 },
  { type: 'seal' },
  { type: 'sync' },
  { type: 'compress' },
  { type: 'append', records: 1, bytes: 50 },
  { type: 'takeBack' },
  { type: 'append', records: 2, bytes: 70 },
  { type: 'sync' },
  { type: 'compress' },
  { type: 'reopen', isKilled: false },
  { type: 'append', records: 5, bytes: 0 },
  { type: 'sync' },
]

/** Runs the workload once with a fault; `seed` decides what a loss of power leaves. */
function run(seed: number, place: (disk: SimulatedDisk) => void): SimulatedDisk {
  const disk = new SimulatedDisk(randomOf(seed))
  place(disk)
  const story = new Story(disk, randomOf(seed + 1), { segmentBytes: 4096, segmentEntries: 6 })
  for (const action of WORKLOAD) story.run(action)
  story.end()
  return disk
}

/** With the fault at call 1, 2, 3 … until the workload comes to its end before that call. Returns how many were placed. */
function everywhere(
  place: (disk: SimulatedDisk, call: number) => void,
  isPlaced: (disk: SimulatedDisk) => boolean,
): number {
  const { calls } = run(0, () => {})
  expect(calls).toBeGreaterThan(150)
  let placed = 0
  // A fault makes more calls: those of the clean run are not enough.
  for (let call = 1, idle = 0; idle < 20 || call <= calls; call++) {
    try {
      const disk = run(call, (fresh) => place(fresh, call))
      if (isPlaced(disk)) placed++
      idle = isPlaced(disk) ? 0 : idle + 1
    } catch (error) {
      throw new Error(`at call ${call}: ${(error as Error).message}`, { cause: error })
    }
  }
  return placed
}

describe('a fixed workload on a disk', () => {
  it.each(['error', 'short write', 'disk full'] as const)(
    'keeps every promise with one %s, at whichever call',
    (fault) => {
      const placed = everywhere(
        (disk, call) => {
          disk.planned = { call, fault }
        },
        (disk) => disk.wasPlaced,
      )
      console.log(`${fault}: placed at ${placed} calls`)
      expect(placed).toBeGreaterThan(fault === 'error' ? 150 : 20)
    },
  )

  it.each([false, true])(
    'keeps every promise when its process dies before any call (power lost: %s)',
    (isPowerLost) => {
      const placed = everywhere(
        (disk, call) => {
          disk.dieAt = call
          disk.isPowerLostWithProcess = isPowerLost
        },
        (disk) => disk.counts.has('process died'),
      )
      console.log(`process died, power lost ${isPowerLost}: placed at ${placed} calls`)
      expect(placed).toBeGreaterThan(150)
    },
  )
})
