import { fc } from '../support/property.js'
import { randomOf } from '../support/random.js'
import { type Fault, SimulatedDisk } from '../support/simulated-disk.js'
import { type Action, anyStory, perform } from './commands.js'
import { LogInUse } from './log-in-use.js'

/** Faults that come by chance, and how often at most. */
export const FAULT_RATES: [Fault, number][] = [
  ['read error', 0.01],
  ['write error', 0.03],
  ['short write', 0.03],
  ['metadata error', 0.02],
  ['sync error', 0.08],
  ['directory sync error', 0.05],
]

/** What happened in the runs, those of shrinking included. */
export interface ModelCounts {
  actions: number
  recoveries: number
  faults: Map<Fault, number>
}

/** Runs one story, which the seed decides, and where it fails the shortest one that fails as well; throws with that. */
export function modelOnce(seed: number, counts: ModelCounts, trace?: (line: string) => void): void {
  const setting = fc.record({ seed: fc.noShrink(fc.integer()), kinds: fc.double({ min: 0, max: 1, noNaN: true }) })
  const property = fc.property(setting, anyStory(), ({ seed: diskSeed, kinds }, story) => {
    const disk = new SimulatedDisk(randomOf(diskSeed))
    disk.trace = trace
    // Some stories have no faults but the crashes, some a few kinds, some all.
    const random = randomOf(diskSeed + 1)
    for (const [fault, rate] of FAULT_RATES) if (random() < kinds) disk.rates.set(fault, rate * random())
    const log = new LogInUse(disk, random)
    try {
      fc.modelRun(() => ({ model: log.model, real: log }), story)
      end(log)
    } finally {
      count(log, counts)
    }
  })
  fc.assert(property, { seed, numRuns: 1 })
}

/** Runs a fixed list of actions on a disk that `place` has prepared; `seed` decides what a loss of power leaves. */
export function runActions(actions: readonly Action[], seed: number, place: (disk: SimulatedDisk) => void): LogInUse {
  const disk = new SimulatedDisk(randomOf(seed))
  place(disk)
  const log = new LogInUse(disk, randomOf(seed + 1))
  for (const action of actions) perform(action, log)
  end(log)
  return log
}

/** The power goes once more; then everything is looked at, closed, and looked at again. */
function end(log: LogInUse): void {
  log.losePower()
  log.disk.bytesFree = Number.POSITIVE_INFINITY
  log.disk.calmly(() => {
    log.closeAndVerify()
    log.reopen()
    log.closeAndVerify(true)
  })
}

function count(log: LogInUse, counts: ModelCounts): void {
  counts.actions += log.actions
  counts.recoveries += log.recoveries
  for (const [fault, number] of log.disk.counts) counts.faults.set(fault, (counts.faults.get(fault) ?? 0) + number)
}
