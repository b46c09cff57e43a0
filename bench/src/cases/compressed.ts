import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Topic, Walrus } from '@walrus-log/actors'
import { isCompressed, NodeFileSystem, openSegmentFile } from '@walrus-log/core'
import { filesBelow } from '../disk.js'
import { type Figure, figureOf } from '../figure.js'
import { withFreshLog } from '../fresh-log.js'
import { type Member, runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import { readAll } from '../workers/read.js'
import type { Case } from './case.js'

const KINDS = ['none', 'lz4', 'zstd'] as const
type Kind = (typeof KINDS)[number]

/** Small, so that the newest sealed one, which is never compressed, and the open one are a small part of all. */
const SEGMENT_BYTES = 4 * 1024 * 1024
const CHUNK_BYTES = 1024 * 1024
const RECORDS_A_BATCH = 500
const POLL_MS = 20

const BARE = '1 MiB pread'
const inWorker = (kind: Kind): string => `walrus, worker, ${kind}`
const onMain = (kind: Kind): string => `walrus, main thread, read ahead, ${kind}`

interface Filled {
  files: string[]
  count: number
  payloadBytes: number
  /** Of the segments, raw. */
  bytes: number
  /** Of those that are compressed: their length before, and their files'. */
  rawBytes: number
  storedBytes: number
}

async function runCompressed(settings: Settings): Promise<Figure[]> {
  const directory = join(settings.directory, 'compressed')
  const values = flights(settings)
  return withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
    const filled = new Map<Kind, Filled>()
    for (const kind of KINDS) filled.set(kind, await fill(walrus, directory, kind, values))
    const samples = await runRounds(settings, 'compressed', membersOf(settings, walrus, filled))
    const megabytes = (member: string): number[] => samples[member].map((bytes) => bytes / 1e6)
    const figures: Figure[] = []
    for (const kind of KINDS) {
      const against = { unit: 'MB/s', against: BARE, baselines: megabytes(BARE) }
      const note = kind === 'none' ? undefined : 'raw bytes'
      figures.push(
        figureOf({ name: `compressed/${kind}-same-thread`, ...against, values: megabytes(inWorker(kind)), note }),
      )
      figures.push(figureOf({ name: `compressed/${kind}-ahead`, ...against, values: megabytes(onMain(kind)), note }))
    }
    for (const kind of ['lz4', 'zstd'] as const) {
      const { rawBytes, storedBytes } = filled.get(kind)!
      const sizes = { values: [storedBytes / 1e6], baselines: [rawBytes / 1e6] }
      figures.push(figureOf({ name: `compressed/${kind}-size`, unit: 'MB', against: 'raw segments', ...sizes }))
    }
    return figures
  })
}

/** The flights of `vega-datasets` as lines of JSON, several times over: what repeats lies farther apart than a block. */
function flights(settings: Settings): Uint8Array[] {
  const entry = createRequire(import.meta.url).resolve('vega-datasets')
  const file = join(dirname(dirname(entry)), 'data/flights-200k.json')
  const all = (JSON.parse(readFileSync(file, 'utf8')) as object[]).map((flight) => Buffer.from(JSON.stringify(flight)))
  const count = scaled(settings, 3_000_000, 200_000)
  return Array.from({ length: count }, (_none, index) => all[index % all.length])
}

async function fill(walrus: Walrus, directory: string, kind: Kind, values: Uint8Array[]): Promise<Filled> {
  const options = { compression: kind, segmentBytes: SEGMENT_BYTES, segmentEntries: values.length }
  const topic: Topic<Uint8Array> = await walrus.topic(kind, options)
  const producer = topic.producer()
  let acknowledged: Promise<unknown> = Promise.resolve()
  for (let from = 0; from < values.length; from += RECORDS_A_BATCH) {
    await acknowledged
    acknowledged = producer.appendBatch(values.slice(from, from + RECORDS_A_BATCH))
  }
  await producer.close()
  const files = filesBelow(join(directory, 'default', kind), ['.log']).map(({ path }) => path)
  // All but the newest sealed segment and the open one.
  const toCompress = kind === 'none' ? 0 : files.length - 2
  for (;;) {
    const sizes = sizesOf(files)
    if (sizes.segments >= toCompress) {
      const { bytes } = await topic.stats()
      const payloadBytes = values.reduce((sum, { length }) => sum + length, 0)
      return { files, count: values.length, payloadBytes, bytes, ...sizes }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

function sizesOf(files: readonly string[]): { segments: number; rawBytes: number; storedBytes: number } {
  const sizes = { segments: 0, rawBytes: 0, storedBytes: 0 }
  for (const name of files) {
    const file = openSegmentFile(new NodeFileSystem(), name, 'read')
    if (isCompressed(file)) {
      sizes.segments++
      sizes.rawBytes += file.size()
      sizes.storedBytes += file.storedBytes()
    }
    file.close()
  }
  return sizes
}

function membersOf(settings: Settings, walrus: Walrus, filled: ReadonlyMap<Kind, Filled>): Member[] {
  const { files, bytes } = filled.get('none')!
  const handle = walrus.handle()
  const bare: Member = {
    name: BARE,
    warmBytes: 0,
    run: async () => bytes / (await inThread(settings, 'barePreads', { files, bytes, chunkBytes: CHUNK_BYTES })),
  }
  const rate = (kind: Kind, read: { seconds: number; records: number; bytes: number }): number => {
    const { count, payloadBytes, bytes } = filled.get(kind)!
    if (read.records !== count || read.bytes !== payloadBytes) {
      throw new Error(`compressed: ${read.records} records where ${count} were sent`)
    }
    return bytes / read.seconds
  }
  return [
    bare,
    ...KINDS.flatMap((kind): Member[] => [
      {
        name: inWorker(kind),
        warmBytes: 0,
        run: async () => rate(kind, await inThread(settings, 'readInThread', { handle, topic: kind })),
      },
      { name: onMain(kind), warmBytes: 0, run: async () => rate(kind, await readAll(walrus, { topic: kind })) },
    ]),
  ]
}

export const compressed: Case = {
  name: 'compressed',
  about: 'flight records in raw segments, in lz4 and in zstd: their size, and a sequential read of each',
  run: runCompressed,
}
