import { type Figure, figureOf } from '../figure.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import type { Case } from './case.js'

const TASK_MS = 150

/** Runs all pieces in each round, in a thread of its own, so that no other case's types reach their compiled code. */
async function runSmall(settings: Settings): Promise<Figure[]> {
  const rounds: Record<string, number>[] = []
  let pairs: { name: string; against: string | null }[] = []
  for (let round = 0; round < settings.rounds; round++) {
    const measured = await inThread(settings, 'measureSmallPieces', { taskMs: scaled(settings, TASK_MS, 5) })
    rounds.push(measured.nanoseconds)
    pairs = measured.pairs
    settings.progress(`small round ${round + 1}/${settings.rounds}: ${pairs.length} pieces`)
  }
  return pairs.map(({ name, against }) =>
    figureOf({
      name: `small/${name}`,
      unit: 'ns',
      against,
      values: rounds.map((round) => round[name]),
      baselines: against === null ? undefined : rounds.map((round) => round[against]),
    }),
  )
}

export const small: Case = {
  name: 'small',
  about: 'the small pieces: checksums, copies, batches, records, codecs, lanes, hashing; nanoseconds each',
  run: runSmall,
}
