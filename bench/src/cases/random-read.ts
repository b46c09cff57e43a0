import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Topic, Walrus } from '@walrus-log/actors'
import { filesBelow } from '../disk.js'
import { type Figure, figureOf, median } from '../figure.js'
import { withFreshLog } from '../fresh-log.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import { makeValues } from '../values.js'
import type { RandomReadSamples } from '../workers/random-read.js'
import type { Case } from './case.js'

const TOPIC = 'measured'
const RECORD_BYTES = 727
const RECORDS = 400_000
const SEGMENT_BYTES = 64 * 1024 * 1024
/** What has to be read and checked of a record that is known by its offset: its batch, which is published at this size. */
const BARE_BYTES = 64 * 1024
const TIMESTAMP_FROM = Date.UTC(2020, 0, 1)
const BLOCKS = 10
const BLOCK_READS = 50

async function runRandomRead(settings: Settings): Promise<Figure[]> {
  const count = scaled(settings, RECORDS, 1000)
  const directory = join(settings.directory, 'random-read')
  await withFreshLog(settings, directory, { durability: 'os' }, (walrus) => fill(walrus, count))
  // Closed and opened again: all segments but the last one are sealed, and have their index.
  const walrus = await Walrus.open(directory, { durability: 'os', writerThreadsMax: 1 })
  const rounds: RandomReadSamples[] = []
  try {
    const input = {
      handle: walrus.handle(),
      topic: TOPIC,
      count,
      timestampFrom: TIMESTAMP_FROM,
      blocks: scaled(settings, BLOCKS),
      blockReads: BLOCK_READS,
      files: filesBelow(join(directory, 'default', TOPIC), ['.log']),
      bareBytes: BARE_BYTES,
    }
    for (let round = 0; round < settings.rounds; round++) {
      const { result } = await settings.patience.quietly(() => inThread(settings, 'randomReads', input))
      rounds.push(result)
      const ratio = (of: number[]): string => (median(of) / median(result.bare)).toFixed(1)
      settings.progress(
        `random-read round ${round + 1}/${settings.rounds}: by offset ${ratio(result.offset)}, by time ${ratio(result.time)} of bare`,
      )
    }
  } finally {
    await settings.profiler?.stop()
    await walrus.close()
  }
  await rm(directory, { recursive: true, force: true })
  const figure = (name: string, of: (samples: RandomReadSamples) => number[]): Figure =>
    figureOf({
      name: `random-read/${name}`,
      unit: 'ms',
      against: '64 KiB pread',
      values: rounds.map((samples) => median(of(samples))),
      baselines: rounds.map(({ bare }) => median(bare)),
      note: 'medians of single records at random places, each with a reader of its own, from the page cache',
    })
  return [figure('by-offset', ({ offset }) => offset), figure('by-time', ({ time }) => time)]
}

/** Each record a millisecond after the one before. */
async function fill(walrus: Walrus, count: number): Promise<void> {
  const topic: Topic<Uint8Array> = await walrus.topic(TOPIC, { segmentBytes: SEGMENT_BYTES })
  const producer = topic.producer()
  const values = makeValues(RECORD_BYTES)
  for (let sent = 0; sent < count; sent++) {
    const options = { timestamp: TIMESTAMP_FROM + sent }
    while (!producer.send(values[sent % values.length], options)) await producer.ready()
  }
  await producer.close()
}

export const randomRead: Case = {
  name: 'random-read',
  about:
    'one record at a random place, found by its offset or by its time, in a worker: against a bare pread of its batch',
  run: runRandomRead,
}
