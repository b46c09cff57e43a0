import { describe, expect, it } from 'vitest'
import type { Action as LogAction } from '../model/commands.js'
import { runActions } from '../model/run-model.js'
import { randomOf } from '../support/random.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { type Action, Story } from './story.js'

const SEED = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() % 1_000_000_000)

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

/** All that can be done with a log: topics, names, forgetting, cursors, and what ends a process meanwhile. */
const LOG_WORKLOAD: LogAction[] = [
  { type: 'create', topic: 0, partitions: 1, isPowerSafe: true, segmentEntries: 4 },
  { type: 'create', topic: 1, partitions: 1, isPowerSafe: true, segmentEntries: 3 },
  { type: 'open name', topic: 0, name: 0 },
  { type: 'send', topic: 0, name: 0, records: 2 },
  { type: 'append', topic: 0, records: 1, bytes: 100, time: 3 },
  { type: 'send', topic: 0, name: 0, records: 1 },
  { type: 'sync', topic: 0 },
  { type: 'send', topic: 0, name: 0, records: 3 },
  { type: 'send', topic: 0, name: 0, records: 1, again: 1 },
  { type: 'consume', topic: 0, group: 0, records: 2 },
  { type: 'append', topic: 1, records: 2, bytes: 10, time: 10 },
  { type: 'append', topic: 1, records: 2, bytes: 10, time: 20 },
  { type: 'append', topic: 1, records: 3, bytes: 10, time: 30 },
  { type: 'append', topic: 1, records: 3, bytes: 700, time: 900 },
  { type: 'seal', topic: 1 },
  { type: 'sync', topic: 1 },
  { type: 'retain', topic: 1, ms: 985 },
  { type: 'consume', topic: 1, group: 1, records: 4 },
  { type: 'open name', topic: 0, name: 0 },
  { type: 'replace writer', topic: 0 },
  { type: 'send', topic: 0, name: 0, records: 2 },
  { type: 'send', topic: 0, name: 0, records: 1, again: 3 },
  { type: 'send', topic: 0, name: 0, records: 1, isOld: true },
  { type: 'sync', topic: 0 },
  { type: 'trim', topic: 1, part: 500 },
  { type: 'append', topic: 1, records: 1, bytes: 10, time: 500 },
  { type: 'kill', mode: 'strict' },
  { type: 'open name', topic: 0, name: 0 },
  { type: 'send', topic: 0, name: 0, records: 1, again: 0 },
  { type: 'trim', topic: 0, part: 900 },
  { type: 'send', topic: 0, name: 0, records: 2 },
  { type: 'sync', topic: 0 },
  { type: 'trim', topic: 0, part: 500 },
  { type: 'seek', topic: 0, group: 0, part: 900, isStale: false },
  { type: 'seek', topic: 0, group: 0, part: 100, isStale: true },
  { type: 'append', topic: 1, records: 2, bytes: 10, time: 600 },
  { type: 'roll', topic: 1 },
  { type: 'sync', topic: 1 },
  { type: 'retain', topic: 1, records: 2 },
  { type: 'compact cursors' },
  { type: 'consume', topic: 1, group: 1, records: 4 },
  { type: 'close', mode: 'tail' },
  { type: 'take back', topic: 1 },
  { type: 'delete', topic: 1 },
  { type: 'create', topic: 1, partitions: 2, isPowerSafe: false, segmentEntries: 4 },
  { type: 'append', topic: 1, records: 2, bytes: 10, time: 10 },
  { type: 'read by time', topic: 1, time: 10 },
  { type: 'lose power', mode: 'strict' },
  { type: 'append', topic: 0, records: 2, bytes: 10, time: 10 },
  { type: 'sync', topic: 0 },
]

/** Each workload runs with a fault that `place` prepares; `seed` decides what a loss of power leaves. Returns the disk. */
type Workload = (seed: number, place: (disk: SimulatedDisk) => void) => SimulatedDisk

const WORKLOADS: Record<string, Workload> = {
  'a partition': (seed, place) => {
    const disk = new SimulatedDisk(randomOf(seed))
    place(disk)
    const story = new Story(disk, randomOf(seed + 1), { segmentBytes: 4096, segmentEntries: 6 })
    for (const action of WORKLOAD) story.run(action)
    story.end()
    return disk
  },
  'a whole log': (seed, place) => runActions(LOG_WORKLOAD, seed, place).disk,
}

/** Calls of the whole log's workload that are tried in a run of all tests: every so many, from another one each time. */
const STRIDE = process.env['WALRUS_EXHAUSTIVE'] === '1' ? 1 : 5

interface Placement {
  run: Workload
  stride: number
  place: (disk: SimulatedDisk, call: number) => void
  isPlaced: (disk: SimulatedDisk) => boolean
  isEligible?: (call: string) => boolean
}

/** With the fault at call 1, 2, 3 … until the workload comes to its end before that call. Returns how many were placed. */
function everywhere({ run, stride, place, isPlaced, isEligible = () => true }: Placement): number {
  const calls: string[] = []
  // Up to the fault, each run makes the same calls as this one.
  run(SEED, (disk) => {
    disk.trace = (line) => {
      const [number, what] = line.split(' ')
      if (Number(number) === calls.length + 1) calls.push(what)
    }
  })
  expect(calls.length).toBeGreaterThan(150)
  let placed = 0
  for (let call = 1 + (SEED % stride); call <= calls.length + 1; call += stride) {
    if (call <= calls.length && !isEligible(calls[call - 1])) continue
    try {
      const disk = run(SEED, (fresh) => place(fresh, call))
      if (isPlaced(disk)) placed++
      else expect(call, 'where no fault could be placed').toBeGreaterThan(calls.length)
    } catch (error) {
      throw new Error(`at call ${call}, WALRUS_TEST_SEED=${SEED}: ${(error as Error).message}`, { cause: error })
    }
  }
  return placed
}

describe.each(['a partition', 'a whole log'] as const)('the fixed workload of %s on a disk', (name) => {
  const run = WORKLOADS[name]
  const stride = name === 'a partition' ? 1 : STRIDE

  it.each(['error', 'short write', 'disk full'] as const)(
    'keeps every promise with one %s, at whichever call',
    (fault) => {
      const placed = everywhere({
        run,
        stride: fault === 'error' ? stride : 1,
        place: (disk, call) => {
          disk.planned = { call, fault }
        },
        isPlaced: (disk) => disk.wasPlaced,
        isEligible: (call) => fault === 'error' || call === 'write',
      })
      console.log(`${name}, ${fault}: placed at ${placed} calls`)
      expect(placed).toBeGreaterThan(fault === 'error' ? 100 : 20)
    },
  )

  it.each([false, true])(
    'keeps every promise when its process dies before any call (power lost: %s)',
    (isPowerLost) => {
      const placed = everywhere({
        run,
        stride,
        place: (disk, call) => {
          disk.dieAt = call
          disk.isPowerLostWithProcess = isPowerLost
        },
        isPlaced: (disk) => disk.counts.has('process died'),
      })
      console.log(`${name}, process died, power lost ${isPowerLost}: placed at ${placed} calls`)
      expect(placed).toBeGreaterThan(100)
    },
  )
})
