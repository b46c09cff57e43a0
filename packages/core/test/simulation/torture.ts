import { FAULT_RATES, modelOnce } from '../model/run-model.js'
import { below, randomOf } from '../support/random.js'
import { type Fault, SimulatedDisk } from '../support/simulated-disk.js'
import { randomAction, Story } from './story.js'

export interface TortureCounts {
  seeds: number
  actions: number
  recoveries: number
  faults: Map<Fault, number>
}

export const noCounts = (): TortureCounts => ({ seeds: 0, actions: 0, recoveries: 0, faults: new Map() })

/** What a seed decides: a story of one partition, and one of a whole log. Throws where a promise is broken. */
export function tortureOnce(seed: number, counts: TortureCounts, trace?: (line: string) => void): void {
  counts.seeds++
  partitionOnce(seed, counts, trace)
  modelOnce(seed, counts, trace)
}

/** What is done, what fails, what is lost. */
function partitionOnce(seed: number, counts: TortureCounts, trace?: (line: string) => void): void {
  const random = randomOf(seed)
  const disk = new SimulatedDisk(randomOf(seed ^ 0x5bd1_e995))
  disk.trace = trace
  // Some stories have no faults but the crashes, some a few kinds, some all.
  const kinds = random()
  for (const [fault, rate] of FAULT_RATES) if (random() < kinds) disk.rates.set(fault, rate * random())
  const segmentBytes = 4096
  const story = new Story(disk, random, { segmentBytes, segmentEntries: 2 + below(random, 20) })
  const actions = 10 + below(random, 70)
  try {
    for (let action = 0; action < actions; action++) story.run(randomAction(random))
    story.end()
    story.rot()
  } finally {
    counts.actions += actions
    counts.recoveries += story.recoveries
    for (const [fault, count] of disk.counts) counts.faults.set(fault, (counts.faults.get(fault) ?? 0) + count)
  }
}

/** How to run a seed again. */
export const replayOf = (seed: number): string => `npm run torture -- --seeds 1 --from ${seed}`

export function countsLines({ seeds, actions, recoveries, faults }: TortureCounts, seconds: number): string[] {
  const lines = [
    `${seeds} seeds, ${Math.round(seeds / seconds)} a second; ${actions} actions, ${recoveries} recoveries`,
  ]
  for (const [fault, count] of [...faults].sort(([left], [right]) => left.localeCompare(right))) {
    lines.push(`  ${fault.padEnd(22)}${String(count).padStart(9)}`)
  }
  return lines
}
