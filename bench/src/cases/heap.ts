import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { atMost, type Figure, figureOf, median } from '../figure.js'
import { checkContent, withFreshLog } from '../fresh-log.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import type { Case } from './case.js'

/** Record sizes and the most heap bytes a record may cost on average. */
const SIZES = [
  { recordBytes: 16, most: 1 },
  { recordBytes: 100, most: 1 },
  { recordBytes: 727, most: 4 },
]
/** A multiple of the number of values, so that each window begins with the first. */
const WINDOW_RECORDS = 9_984
const WINDOWS = 200
const PAYLOAD_BYTES_MAX = 450 * 1024 * 1024
const WINDOWS_MIN = 20

interface HeapSamples {
  producer: number[]
  writer: number[]
}

async function runHeap(settings: Settings): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const { recordBytes, most } of SIZES) {
    const samples: HeapSamples = { producer: [], writer: [] }
    for (let round = 0; round < settings.rounds; round++) {
      await measureOnce(settings, round, recordBytes, samples)
      const numbers = `${samples.producer.at(-1)!.toFixed(2)} in the producer, ${samples.writer.at(-1)!.toFixed(2)} in the writer`
      settings.progress(`heap round ${round + 1}/${settings.rounds}: ${recordBytes} bytes: ${numbers}`)
    }
    for (const side of ['producer', 'writer'] as const) {
      figures.push(
        figureOf({
          name: `heap/${side}-${recordBytes}`,
          unit: 'bytes/record',
          against: null,
          values: samples[side],
          target: atMost(most),
          note: `used_heap_size of the ${side}'s thread, median of windows without a collection`,
        }),
      )
    }
  }
  return figures
}

/** Adds one number for each side: the median of its windows. */
async function measureOnce(
  settings: Settings,
  round: number,
  recordBytes: number,
  samples: HeapSamples,
): Promise<void> {
  const directory = join(settings.directory, `heap-${recordBytes}-${round}`)
  const samplesFile = join(settings.directory, `heap-${recordBytes}-${round}.json`)
  const fileSystem = new URL('../workers/heap-probe.js', import.meta.url)
  fileSystem.searchParams.set('samples', samplesFile)
  const fitting = Math.floor(PAYLOAD_BYTES_MAX / (WINDOW_RECORDS * recordBytes))
  const windows = scaled(settings, Math.min(WINDOWS, fitting), WINDOWS_MIN)
  const count = windows * WINDOW_RECORDS
  let bytesPerRecord = 0
  await withFreshLog(settings, directory, { durability: 'os', fileSystem }, async (walrus) => {
    const input = { handle: walrus.handle(), topic: 'measured', recordBytes, windows, windowRecords: WINDOW_RECORDS }
    samples.producer.push(median(await inThread(settings, 'heapOfSends', input)))
    const { bytes, records } = walrus.stats()
    bytesPerRecord = bytes / records
    await checkContent(settings, walrus, 'measured', recordBytes, count)
  })
  const pairs = JSON.parse(readFileSync(samplesFile, 'utf8')) as [number, number][]
  // The first quarter is the compiler's.
  const steady = pairs.slice(Math.floor(pairs.length / 4))
  samples.writer.push(median(steady.map(([bytes, heapBytes]) => heapBytes / (bytes / bytesPerRecord))))
}

export const heap: Case = {
  name: 'heap',
  about: 'heap bytes allocated per record by the sending thread and by the writer thread, at 16, 100 and 727 bytes',
  run: runHeap,
}
