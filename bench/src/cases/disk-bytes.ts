import { join } from 'node:path'
import { filesBelow } from '../disk.js'
import { type Figure, figureOf } from '../figure.js'
import { checkContent, withFreshLog } from '../fresh-log.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import type { Produce } from '../workers/produce.js'
import type { Case } from './case.js'

const RECORD_SIZES = [16, 100, 727]
const PAYLOAD_BYTES = 64 * 1024 * 1024

async function runDiskBytes(settings: Settings): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const recordBytes of RECORD_SIZES) {
    const count = scaled(settings, Math.round(PAYLOAD_BYTES / recordBytes), 1_000)
    const values: number[] = []
    for (let round = 0; round < settings.rounds; round++) {
      values.push(
        await bytesPerRecord(
          settings,
          join(settings.directory, `disk-bytes-${recordBytes}-${round}`),
          recordBytes,
          count,
        ),
      )
      settings.progress(
        `disk-bytes round ${round + 1}/${settings.rounds}: ${recordBytes} bytes take ${values.at(-1)!.toFixed(2)}`,
      )
    }
    figures.push(
      figureOf({
        name: `disk-bytes/${recordBytes}`,
        unit: 'bytes/record',
        against: 'payload',
        values,
        baselines: values.map(() => recordBytes),
        note: 'segment files and their indexes, after a producer at full speed',
      }),
    )
  }
  return figures
}

/** What the closed log's files hold, divided by its records. */
async function bytesPerRecord(
  settings: Settings,
  directory: string,
  recordBytes: number,
  count: number,
): Promise<number> {
  const measured: Produce = { topic: 'measured', recordBytes, count, wait: 'block' }
  await withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
    const warmUp: Produce = { ...measured, topic: 'warm-up', count: 1 }
    await inThread(settings, 'produceInThread', { handle: walrus.handle(), warmUp, ...measured })
    await checkContent(settings, walrus, 'measured', recordBytes, count)
  })
  const files = filesBelow(join(directory, 'default', 'measured'), ['.log', '.index'])
  return files.reduce((sum, { bytes }) => sum + bytes, 0) / count
}

export const diskBytes: Case = {
  name: 'disk-bytes',
  about: 'bytes on disk per record over payload, at 16, 100 and 727 bytes',
  run: runDiskBytes,
}
