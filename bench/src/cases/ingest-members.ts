import type { Durability } from '@walrus-log/actors'
import { checkContent, withFreshLog } from '../fresh-log.js'
import type { Member } from '../rounds.js'
import type { Settings } from '../settings.js'
import { inThread } from '../thread.js'
import { type Produce, produce } from '../workers/produce.js'

// The sides of the ingest cases. All are measured in payload bytes a second, so that any two can be compared.

/** The compiler's threads are busy for the first few hundred MB, and on a small machine they take a core from the log. */
const WARM_UP_BYTES = 256 * 1024 * 1024

export interface Ingest {
  durability: Durability
  recordBytes: number
  count: number
  /** Where the producer runs, and how it waits for room there. */
  from: 'worker, blocking' | 'worker, awaiting' | 'main thread'
}

/** One producer that keeps its lane full. */
export function ingestMember(settings: Settings, name: string, ingest: Ingest): Member {
  const { durability, recordBytes, count, from } = ingest
  const wait = from === 'worker, blocking' ? 'block' : 'await'
  const measured: Produce = { topic: 'measured', recordBytes, count, wait }
  const warmUp: Produce = {
    ...measured,
    topic: 'warm-up',
    count: Math.min(Math.ceil(WARM_UP_BYTES / recordBytes), count),
  }
  return {
    name,
    warmBytes: recordBytes * (count + warmUp.count),
    run: (directory) =>
      withFreshLog(settings, directory, { durability }, async (walrus) => {
        let seconds: number
        if (from === 'main thread') {
          await produce(walrus, warmUp)
          seconds = await produce(walrus, measured)
        } else {
          seconds = await inThread(settings, 'produceInThread', { handle: walrus.handle(), warmUp, ...measured })
        }
        await checkContent(settings, walrus, measured.topic, recordBytes, count)
        return (recordBytes * count) / seconds
      }),
  }
}

/** Large writes of the same bytes. */
export function bareWritesMember(
  settings: Settings,
  name: string,
  options: { recordBytes: number; bytes: number; chunkBytes: number; sync: boolean },
): Member {
  const run = async (directory: string): Promise<number> => {
    return options.bytes / (await inThread(settings, 'bareWrites', { directory, ...options }))
  }
  return { name, warmBytes: options.bytes, run }
}

/** A write for each record. */
export function recordWritesMember(
  settings: Settings,
  name: string,
  options: { recordBytes: number; count: number; sync: boolean },
): Member {
  const bytes = options.recordBytes * options.count
  const run = async (directory: string): Promise<number> => {
    return bytes / (await inThread(settings, 'bareRecordWrites', { directory, ...options }))
  }
  return { name, warmBytes: options.sync ? 0 : bytes, run }
}

export const megabytes = (bytesPerSecond: readonly number[]): number[] => bytesPerSecond.map((bytes) => bytes / 1e6)

export const records = (bytesPerSecond: readonly number[], recordBytes: number): number[] =>
  bytesPerSecond.map((bytes) => bytes / recordBytes)
