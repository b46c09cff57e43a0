import { isMainThread } from 'node:worker_threads'
import { type FileSystem, WalrusError } from '@walrus-log/core'
import { KeepAlive } from '../lane/doorbell.js'
import type { SharedWaits } from '../lane/shared-waits.js'
import {
  PARTITION_DELETED_AT,
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITION_SIGNAL_AT,
  PARTITION_WAITERS_AT,
  partitionAt,
} from '../memory/layout.js'
import type { Batch } from './batch.js'
import { CODECS } from './codec.js'
import type { Gap } from './gap.js'
import {
  closedError,
  type LogClient,
  type PartitionPlace,
  readFirstOffset,
  type TopicPlace,
  unknownTopic,
} from './log-client.js'
import type { FilledReadOptions } from './options.js'
import { PartitionReader, type ReadStart } from './partition-reader.js'

/** How a thread reaches the files: `fs` in threads that may wait for a disk, the reader pool elsewhere. */
export interface ReadAccess {
  fs: FileSystem
  fileSystem: string | undefined
}

/** See `Topic.read`. Ends when all that was there at the call is read; with `follow`, when the signal or the log says so. */
export async function* readTopic<Value>(
  client: LogClient,
  topic: TopicPlace,
  access: ReadAccess,
  options: FilledReadOptions,
): AsyncGenerator<Batch<Value> | Gap, void, undefined> {
  const { signal, follow } = options
  const places = choosePartitions(topic, options.partition)
  if (client.isReadOnly) await client.control.refresh()
  const fs = isMainThread || options.readAhead === true ? undefined : access.fs
  const readers = places.map((place) => {
    const offsetEnd = follow ? Number.POSITIVE_INFINITY : highWatermark(client, place)
    const start = startOf(client, place, options)
    const codec = CODECS[topic.config.codec]
    return new PartitionReader<Value>(client, place, codec, start, { fs, fileSystem: access.fileSystem, offsetEnd })
  })
  const requireReadable = (): void => {
    signal?.throwIfAborted()
    if (client.isClosed) throw closedError()
    // All partitions of a topic that is being deleted are marked at once.
    if (Atomics.load(client.memory.words, partitionAt(places[0].slot) + PARTITION_DELETED_AT) === 1)
      throw unknownTopic(topic.config.name)
  }
  requireReadable()
  /** The caller has a batch, which stays valid until it pulls the next: for good, where it leaves instead. */
  let isInHand = false
  const wait = follow ? new WatermarkWait(client, places, signal) : undefined
  try {
    for (;;) {
      // What moves after this look is seen by the wait below, which compares with it.
      wait?.look()
      let gave = false
      for (const reader of readers) {
        if (!reader.hasMore) continue
        let batch = reader.take()
        if (batch === undefined) {
          try {
            const filling = reader.fill()
            if (filling !== undefined) await filling
          } catch (error) {
            if (client.isReadOnly) {
              await client.control.recheck(topic.config.name)
              reader.requireThere()
            }
            // Files that are gone with their topic, or with the log's threads, are no damage.
            requireReadable()
            reader.requireKept()
            throw error
          }
          // A window may hold nothing but what lies before the start: there is more behind it.
          gave = true
          batch = reader.take()
        }
        for (; batch !== undefined; batch = reader.take()) {
          gave = true
          isInHand = true
          yield batch
          isInHand = false
          requireReadable()
        }
      }
      if (gave) continue
      if (wait === undefined) return
      await wait.wait()
      requireReadable()
      if (client.isReadOnly) for (const reader of readers) reader.requireThere()
    }
  } finally {
    wait?.close()
    for (const reader of readers) reader.close(!isInHand)
  }
}

export function choosePartitions(topic: TopicPlace, partition: number | undefined): PartitionPlace[] {
  if (partition === undefined) return topic.partitions
  const place = topic.partitions[partition]
  if (place !== undefined) return [place]
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `topic ${topic.config.name} has partitions 0 to ${topic.partitions.length - 1}, ${partition} was asked for; take one of these`,
    { field: 'partition' },
  )
}

export function highWatermark(client: LogClient, place: PartitionPlace): number {
  return client.memory.readPointOffset(place.slot, PARTITION_DURABLE_SELECT_AT, PARTITION_DURABLE_AT)
}

function startOf(client: LogClient, place: PartitionPlace, { from }: FilledReadOptions): ReadStart {
  const first = readFirstOffset(client.memory, place.slot)
  const next = highWatermark(client, place)
  if (from === 'start') return { offset: first }
  if (from === 'end') return { offset: next }
  if (from instanceof Date) return { timestampMs: from.getTime(), offset: first }
  // With gaps shown, what lies before the first offset is one.
  if ((from >= first || place.skip) && from <= next) return { offset: from }
  throw new WalrusError(
    'OFFSET_OUT_OF_RANGE',
    `partition ${place.partition} has offsets ${first} to ${next - 1}, ${from} was asked for; read from ${from < first ? first : next}`,
    { first, next, offset: from },
  )
}

/** Waits until the high watermark of one of some partitions moves, or somebody says `wake`. */
export class WatermarkWait {
  readonly #words: Int32Array
  readonly #waits: SharedWaits
  readonly #signals: number[]
  readonly #seen: number[]
  readonly #waiters: number[]
  readonly #keepAlive = new KeepAlive()
  readonly #signal: AbortSignal | undefined
  /** Ends the wait in hand. */
  #wake: () => void = () => {}
  /** One function for all waits. */
  readonly #onSignal = (): void => this.#wake()

  constructor(client: LogClient, places: PartitionPlace[], signal: AbortSignal | undefined) {
    this.#words = client.memory.words
    this.#waits = client.waits
    this.#signals = places.map(({ slot }) => partitionAt(slot) + PARTITION_SIGNAL_AT)
    this.#waiters = places.map(({ slot }) => partitionAt(slot) + PARTITION_WAITERS_AT)
    this.#seen = this.#signals.map(() => 0)
    for (const at of this.#waiters) Atomics.add(this.#words, at, 1)
    this.#signal = signal
    signal?.addEventListener('abort', this.#onSignal)
  }

  look(): void {
    for (let index = 0; index < this.#signals.length; index++) {
      this.#seen[index] = Atomics.load(this.#words, this.#signals[index])
    }
  }

  /** Resolves when a signal has moved since `look`, or the abort signal came. */
  async wait(): Promise<void> {
    this.#keepAlive.hold()
    try {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (this.#signal?.aborted) resolve()
        for (const [index, at] of this.#signals.entries()) this.#waits.add(at, this.#seen[index], this.#onSignal)
      })
    } finally {
      for (const at of this.#signals) this.#waits.drop(at, this.#onSignal)
      this.#keepAlive.release()
    }
  }

  /** Ends the wait in hand. */
  wake(): void {
    this.#wake()
  }

  close(): void {
    for (const at of this.#waiters) Atomics.sub(this.#words, at, 1)
    this.#signal?.removeEventListener('abort', this.#onSignal)
    this.#keepAlive.close()
  }
}
