import { availableParallelism } from 'node:os'
import { pathToFileURL } from 'node:url'
import { WalrusError } from '@walrus-log/core'
import { z } from 'zod'
import { PARTITION_DELETED_AT, partitionAt } from '../memory/layout.js'
import { decodeError } from '../message/error-codec.js'
import { ScanPool } from '../reader-pool/scan-pool.js'
import type { ScanReply, ScanSlice } from '../reader-pool/scan-task.js'
import { closedError, type LogClient, readFirstOffset, type TopicPlace, unknownTopic } from './log-client.js'
import { check } from './options.js'
import { choosePartitions, highWatermark } from './reader.js'

const THREADS_MAX = 256

const scanOptions = z.strictObject({
  reduce: z.custom<(total: unknown, part: unknown) => unknown>((value) => typeof value === 'function', {
    message: 'a function of two parts is wanted',
  }),
  initial: z.unknown().optional(),
  args: z.unknown().optional(),
  partition: z.number().int().min(0).optional(),
  threads: z.number().int().min(1).max(THREADS_MAX).default(Math.min(availableParallelism(), THREADS_MAX)),
  signal: z.instanceof(AbortSignal).optional(),
})

export interface ScanOptions<Part> {
  /** Makes one of two parts, in the caller's thread; parts come in any order, and in any number. */
  reduce: (total: Part, part: Part) => Part
  /** What the first part is put to; left out, the first part is the total so far. */
  initial?: Part
  /** Is given to the function with each call; structured-cloneable. */
  args?: unknown
  /** One partition; all of them where it is left out. */
  partition?: number
  /** How many threads read and map at once: by default one for each core. */
  threads?: number
  signal?: AbortSignal
}

export interface ScanAccess {
  fileSystem: string | undefined
}

/** See `Walrus.scan`. */
export async function scanTopic<Part>(
  client: LogClient,
  topic: TopicPlace,
  { fileSystem }: ScanAccess,
  module: URL | string,
  options: ScanOptions<Part>,
): Promise<Part | undefined> {
  const { reduce, initial, args, partition, threads, signal } = check(scanOptions, options)
  const url = moduleUrl(module)
  signal?.throwIfAborted()
  const places = choosePartitions(topic, partition)
  if (client.isReadOnly) await client.control.refresh()
  const pool = new ScanPool(threads)
  const stop = new SharedArrayBuffer(4)
  let abort = (): void => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal?.reason)
  })
  aborted.catch(() => {})
  signal?.addEventListener('abort', abort)
  const { skip } = places[0]
  const { name, codec } = topic.config
  try {
    const plans = places.map(({ slot, directory, partition, ...place }) => {
      const offsetFrom = readFirstOffset(client.memory, slot)
      const offsetTo = highWatermark(client, { slot, directory, partition, ...place })
      return pool.plan({ fileSystem, partition, directory, offsetFrom, offsetTo })
    })
    const slices = (await Promise.race([Promise.all(plans), aborted])).flatMap((reply) => {
      if (!reply.ok) throw decodeError(reply.error)
      return (reply as Extract<ScanReply, { slices: unknown }>).slices
    })
    let total = initial as Part | undefined
    const goOn = async (): Promise<void> => {
      for (let slice = slices.shift(); slice !== undefined; slice = slices.shift()) {
        const reply = await pool
          .scan({ ...slice, fileSystem, skip, topic: name, codec, module: url, args, stop })
          .catch((cause) => {
            throw scanFailed(url, cause)
          })
        if (!reply.ok) {
          const error = decodeError(reply.error)
          throw reply.isUsers ? scanFailed(url, error) : await readFailed(client, topic, slice, error)
        }
        const { part } = reply as Extract<ScanReply, { part: unknown }>
        // A function that has nothing to say of its batches says nothing.
        if (part === undefined) continue
        total = (total === undefined ? part : reduce(total, part)) as Part
      }
    }
    const running = Array.from({ length: Math.min(threads, slices.length) }, goOn)
    // All are ended together; the first failure is the one that is told.
    for (const one of running) one.catch(() => {})
    await Promise.race([Promise.all(running), aborted])
    return total
  } finally {
    Atomics.store(new Int32Array(stop), 0, 1)
    signal?.removeEventListener('abort', abort)
    await pool.close()
  }
}

function moduleUrl(module: URL | string): string {
  if (module instanceof URL) return module.href
  if (typeof module === 'string') return URL.canParse(module) ? module : pathToFileURL(module).href
  throw new WalrusError('INVALID_ARGUMENT', 'scan() takes the URL of a module whose default export maps batches', {
    field: 'module',
  })
}

function scanFailed(module: string, cause: unknown): WalrusError {
  const what = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  return new WalrusError(
    'SCAN_FAILED',
    `the function of ${module} failed (${what}); error.cause has its own error and stack`,
    { cause },
  )
}

/** Files that are gone with their topic, or with retention, are no damage. */
async function readFailed(client: LogClient, topic: TopicPlace, slice: ScanSlice, error: Error): Promise<Error> {
  if (client.isReadOnly && !client.isClosed) await client.control.recheck(topic.config.name)
  if (client.isClosed) return closedError()
  const { memory } = client
  const place = topic.partitions[slice.partition]
  if (Atomics.load(memory.words, partitionAt(place.slot) + PARTITION_DELETED_AT) === 1) {
    return unknownTopic(topic.config.name)
  }
  const first = readFirstOffset(memory, place.slot)
  if (first <= slice.offsetFrom) return error
  const next = highWatermark(client, place)
  return new WalrusError(
    'OFFSET_OUT_OF_RANGE',
    `offset ${slice.offsetFrom} of partition ${slice.partition} was forgotten by retention or a trim during the scan, the first one is ${first}; scan again`,
    { first, next, offset: slice.offsetFrom, cause: error },
  )
}
