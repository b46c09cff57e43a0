import { join } from 'node:path'
import type { Walrus } from '@walrus-log/actors'
import { filesBelow } from '../disk.js'
import { type Figure, figureOf } from '../figure.js'
import { withFreshLog } from '../fresh-log.js'
import { type Member, runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import { produce } from '../workers/produce.js'
import type { Case } from './case.js'

const TOPIC = 'measured'
const RECORD_BYTES = 727
const CHUNK_BYTES = 1024 * 1024
/** Segments of the size of a call of the function, so that it does not matter which are sealed by now. */
const SEGMENT_BYTES = 32 * 1024 * 1024
const MAP = new URL('../workers/scan-map.js', import.meta.url)

const BARE = '1 MiB pread'
const THREADS = [1, 2, 4]
const nameOf = (threads: number): string => `walrus.scan, ${threads} at once`

async function runScan(settings: Settings): Promise<Figure[]> {
  const count = scaled(settings, 1_600_000)
  const directory = join(settings.directory, 'scan')
  const samples = await withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
    await walrus.topic(TOPIC, { segmentBytes: SEGMENT_BYTES })
    await produce(walrus, { topic: TOPIC, recordBytes: RECORD_BYTES, count, wait: 'await' })
    return runRounds(settings, 'scan', membersOf(settings, walrus, directory, count))
  })
  const baselines = samples[BARE].map((bytes) => bytes / 1e6)
  return THREADS.map((threads) => {
    const values = samples[nameOf(threads)].map((bytes) => bytes / 1e6)
    return figureOf({ name: `scan/${threads}`, unit: 'MB/s', against: BARE, values, baselines })
  })
}

/** All in bytes of the segment files a second; their pages are in the page cache. The threads' start is part of a scan. */
function membersOf(settings: Settings, walrus: Walrus, directory: string, count: number): Member[] {
  const files = filesBelow(directory, ['.log']).map(({ path }) => path)
  const bytes = walrus.stats().bytes
  const scan = async (threads: number): Promise<number> => {
    const startMs = performance.now()
    const reduce = (left: number, right: number): number => left + right
    const found = await walrus.scan<number>(TOPIC, MAP, { reduce, threads })
    if (found !== count * RECORD_BYTES) throw new Error(`scan: ${found} bytes where ${count * RECORD_BYTES} were sent`)
    return bytes / ((performance.now() - startMs) / 1000)
  }
  return [
    {
      name: BARE,
      warmBytes: 0,
      run: async () => bytes / (await inThread(settings, 'barePreads', { files, bytes, chunkBytes: CHUNK_BYTES })),
    },
    ...THREADS.map((threads): Member => ({ name: nameOf(threads), warmBytes: 0, run: () => scan(threads) })),
  ]
}

export const scan: Case = {
  name: 'scan',
  about:
    'a whole topic through a function of views, in 1, 2 and 4 threads at once: against bare preads of the same files',
  run: runScan,
}
