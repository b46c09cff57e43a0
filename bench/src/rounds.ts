import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { warmMemory } from './disk.js'
import { formatDisturbance } from './machine.js'
import type { Settings } from './settings.js'

/** One side of a comparison. */
export interface Member {
  name: string
  /** Memory to be warmed before each run, in bytes: what the run writes. 0 where it writes next to nothing. */
  warmBytes: number
  /** Measures once, with files below `directory`, which is new and deleted afterwards. */
  run: (directory: string) => Promise<number>
}

/** More than this is not warmed: a run that writes more has paid for its memory in its first part. */
const WARM_BYTES_MAX = 1.75 * 1024 ** 3
/** Beside what a run writes: the pages of its threads, its lanes, its warm-up. */
const WARM_EXTRA_BYTES = 128 * 1024 * 1024

export type Samples = Record<string, number[]>

/**
 * Measures all members, round by round: A B C, A B C … Whatever drifts (the disk, the neighbours, the clock of the CPU) is
 * the same for all members of a round, so that a round's ratios stand when its numbers do not.
 */
export async function runRounds(settings: Settings, caseName: string, members: readonly Member[]): Promise<Samples> {
  const samples: Samples = Object.fromEntries(members.map(({ name }) => [name, []]))
  for (let round = 0; round < settings.rounds; round++) {
    for (const [index, member] of members.entries()) {
      const directory = join(settings.directory, `${caseName}-${round}-${index}`)
      const { result: value, disturbance } = await settings.patience.quietly(async () => {
        if (member.warmBytes > 0) {
          warmMemory(settings.directory, Math.min(member.warmBytes + WARM_EXTRA_BYTES, WARM_BYTES_MAX))
        }
        const measured = await member.run(directory)
        await rm(directory, { recursive: true, force: true })
        return measured
      })
      const disturbed = formatDisturbance(disturbance)
      samples[member.name].push(value)
      settings.progress(
        `${caseName} round ${round + 1}/${settings.rounds}: ${member.name} ${formatProgress(value)} (${disturbed})`,
      )
    }
  }
  return samples
}

function formatProgress(value: number): string {
  return value >= 1e6 ? `${(value / 1e6).toFixed(1)} M/s` : value.toPrecision(4)
}
