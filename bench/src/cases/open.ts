import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { filesBelow } from '../disk.js'
import { atMost, type Figure, figureOf } from '../figure.js'
import { runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { makeSparseLog, openSparse, SPARSE_SEGMENT_BYTES } from '../sparse-log.js'
import type { Case } from './case.js'

const GB = 1e9
const SMALL_GB = 2
const LARGE_GB = 20

async function runOpen(settings: Settings): Promise<Figure[]> {
  const member = async (gigabytes: number) => {
    const directory = join(settings.directory, `open-${gigabytes}`)
    const segments = scaled(settings, Math.ceil((gigabytes * GB) / SPARSE_SEGMENT_BYTES), gigabytes)
    await makeSparseLog(directory, segments)
    const bytes = filesBelow(directory, ['.log']).reduce((sum, file) => sum + file.bytes, 0)
    settings.progress(`open: ${segments} segments, ${(bytes / GB).toFixed(1)} GB`)
    return {
      name: `${gigabytes} GB`,
      warmBytes: 0,
      run: async () => {
        const startMs = performance.now()
        return openSparse(directory, async () => performance.now() - startMs)
      },
    }
  }
  const members = [await member(SMALL_GB), await member(LARGE_GB)]
  // Once without a clock: compilers, and what of the directories is not in the cache.
  for (const { run } of members) await run()
  const samples = await runRounds(settings, 'open', members)
  for (const { name } of members) await rm(join(settings.directory, `open-${name.split(' ')[0]}`), { recursive: true })
  return [
    figureOf({
      name: 'open/20-gb',
      unit: 'ms',
      against: 'the same with 2 GB',
      values: samples['20 GB'],
      baselines: samples['2 GB'],
      target: atMost(1.5),
      note: 'a log with one topic in sealed segments of 64 MiB, whose content is holes, and a small unsealed tail',
    }),
  ]
}

export const open: Case = {
  name: 'open',
  about: 'from Walrus.open to an open topic that has 20 GB: against one that has 2 GB',
  run: runOpen,
}
