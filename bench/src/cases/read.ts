import { join } from 'node:path'
import type { Walrus } from '@walrus-log/actors'
import { filesBelow } from '../disk.js'
import { atLeast, type Figure, figureOf } from '../figure.js'
import { withFreshLog } from '../fresh-log.js'
import { type Member, runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import { produce } from '../workers/produce.js'
import { readAll } from '../workers/read.js'
import type { Case } from './case.js'

const TOPIC = 'measured'
const RECORD_BYTES = 727
const CHUNK_BYTES = 1024 * 1024

const BARE = '1 MiB pread'
const SAME_THREAD = 'walrus, worker, checked there'
const AHEAD_MAIN = 'walrus, main thread, read ahead'
const AHEAD_WORKER = 'walrus, worker, read ahead'

async function runRead(settings: Settings): Promise<Figure[]> {
  const count = scaled(settings, 1_600_000)
  const directory = join(settings.directory, 'read')
  const samples = await withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
    await produce(walrus, { topic: TOPIC, recordBytes: RECORD_BYTES, count, wait: 'await' })
    return runRounds(settings, 'read', membersOf(settings, walrus, directory, count))
  })
  const against = { unit: 'MB/s', against: BARE, baselines: megabytes(samples[BARE]) }
  const figure = (name: string, member: string, target: number): Figure =>
    figureOf({ name, ...against, values: megabytes(samples[member]), target: atLeast(target) })
  return [
    figure('read/same-thread', SAME_THREAD, 0.35),
    figure('read/ahead-main-thread', AHEAD_MAIN, 0.6),
    figure('read/ahead-worker', AHEAD_WORKER, 0.6),
  ]
}

/** All in bytes of the segment files a second; their pages are in the page cache. */
function membersOf(settings: Settings, walrus: Walrus, directory: string, count: number): Member[] {
  const files = filesBelow(directory, ['.log']).map(({ path }) => path)
  // The open segment's file is longer than what was written: its baseline reads what the log reads.
  const bytes = walrus.stats().bytes
  const rate = (read: { seconds: number; records: number; bytes: number }): number => {
    if (read.records !== count || read.bytes !== count * RECORD_BYTES) {
      throw new Error(
        `read: ${read.records} records of ${read.bytes} bytes where ${count} of ${RECORD_BYTES} bytes were sent`,
      )
    }
    return bytes / read.seconds
  }
  const handle = walrus.handle()
  return [
    {
      name: BARE,
      warmBytes: 0,
      run: async () => bytes / (await inThread(settings, 'barePreads', { files, bytes, chunkBytes: CHUNK_BYTES })),
    },
    {
      name: SAME_THREAD,
      warmBytes: 0,
      run: async () => rate(await inThread(settings, 'readInThread', { handle, topic: TOPIC })),
    },
    { name: AHEAD_MAIN, warmBytes: 0, run: async () => rate(await readAll(walrus, { topic: TOPIC })) },
    {
      name: AHEAD_WORKER,
      warmBytes: 0,
      run: async () => rate(await inThread(settings, 'readInThread', { handle, topic: TOPIC, readAhead: true })),
    },
  ]
}

const megabytes = (bytesPerSecond: readonly number[]): number[] => bytesPerSecond.map((bytes) => bytes / 1e6)

export const read: Case = {
  name: 'read',
  about:
    'sequential read with views from the page cache, every checksum verified: against bare preads of the same files',
  run: runRead,
}
