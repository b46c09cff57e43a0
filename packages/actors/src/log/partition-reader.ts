import {
  assert,
  batchBaseOffset,
  batchLength,
  batchRecordCount,
  batchTimestampMax,
  type FileSystem,
  INDEX_INTERVAL_BYTES,
  READ_CHUNK_BYTES,
  type ReadGap,
  type ReadPosition,
  type Region,
  SegmentReader,
  WalrusError,
} from '@walrus-log/core'
import { PARTITION_DURABLE_AT, PARTITION_DURABLE_SELECT_AT } from '../memory/layout.js'
import { decodeError } from '../message/error-codec.js'
import { ReadAhead } from '../reader-pool/read-ahead.js'
import { type FillRequest, locate } from '../reader-pool/tasks.js'
import type { ReadWindow, WindowStore } from '../reader-pool/window-store.js'
import { Batch } from './batch.js'
import type { ValueCodec } from './codec.js'
import { Gap } from './gap.js'
import { type LogClient, type PartitionPlace, readFirstOffset } from './log-client.js'
import { isReadTurnOver, nextTurn } from './turn.js'

/** Where a reader begins: an offset, or a time and the first offset that there is. */
export type ReadStart = { offset: number; timestampMs?: number }

/** A window of file bytes in memory: whole, checked batches. */
interface Window {
  region: Region
  bytes: number
  next: ReadPosition
  /** In place of batches: what is missing before `next`. */
  gap?: ReadGap
}

/** Fills windows: from this thread, or from a thread of the reader pool. */
interface WindowSource {
  /** Fills a window from `from` on. The one that it gave before may be overwritten from the call on. */
  fill(from: FillRequest['from'], highWatermark: number): Window | Promise<Window>
  /** `isFree`: no view of what it gave is valid any more. */
  close(isFree: boolean): void
}

/**
 * Reads one partition from a place on, batch by batch, never beyond the high watermark.
 *
 * Invariant: batches in [at, window.bytes) are whole, checked, and below a watermark that was read before they were.
 */
export class PartitionReader<Value> {
  readonly place: PartitionPlace
  readonly #client: LogClient
  readonly #codec: ValueCodec
  readonly #source: WindowSource
  readonly #offsetEnd: number
  #from: FillRequest['from']
  #window: Window | undefined
  #gap: Gap | undefined
  #at = 0
  #offsetFrom: number
  #timestampFrom: number

  constructor(
    client: LogClient,
    place: PartitionPlace,
    codec: ValueCodec,
    start: ReadStart,
    options: { fs: FileSystem | undefined; fileSystem: string | undefined; offsetEnd: number },
  ) {
    this.#client = client
    this.place = place
    this.#codec = codec
    this.#from = start.timestampMs === undefined ? { offset: start.offset } : { timestampMs: start.timestampMs }
    this.#offsetFrom = start.offset
    this.#timestampFrom = start.timestampMs ?? Number.NEGATIVE_INFINITY
    this.#offsetEnd = options.offsetEnd
    this.#source =
      options.fs === undefined
        ? new PoolSource(client, place, options.fileSystem)
        : new ThreadSource(client.windows, options.fs, place)
  }

  /** The partition's high watermark, at most the offset where this reader ends. */
  get highWatermark(): number {
    const offset = this.#client.memory.readPointOffset(
      this.place.slot,
      PARTITION_DURABLE_SELECT_AT,
      PARTITION_DURABLE_AT,
    )
    return Math.min(offset, this.#offsetEnd)
  }

  /** The next batch if it is in memory already, or what is missing in its place. */
  take(): Batch<Value> | Gap | undefined {
    if (this.#gap !== undefined) {
      const gap = this.#gap
      this.#gap = undefined
      return gap
    }
    const window = this.#window
    if (window === undefined) return undefined
    const { region } = window
    while (this.#at < window.bytes) {
      const at = this.#at
      this.#at += batchLength(region, at)
      if (batchBaseOffset(region, at) + batchRecordCount(region, at) <= this.#offsetFrom) continue
      if (batchTimestampMax(region, at) < this.#timestampFrom) continue
      if (this.#timestampFrom !== Number.NEGATIVE_INFINITY && !this.#maybeBeginInBatch(region, at)) continue
      const batch = new Batch<Value>(region, at, this.#at, this.place.partition, this.#codec, this.#offsetFrom)
      // Compaction may have left nothing of it.
      if (batch.count > 0) return batch
    }
    return undefined
  }

  /**
   * Whether a record of the time asked for is in this batch, and not forgotten; from there on, all are given in the order of
   * offsets.
   */
  #maybeBeginInBatch(region: Region, at: number): boolean {
    const { partition } = this.place
    for (const { offset, timestamp } of new Batch<Value>(
      region,
      at,
      this.#at,
      partition,
      this.#codec,
      this.#offsetFrom,
    )) {
      if (timestamp < this.#timestampFrom) continue
      this.#offsetFrom = offset
      this.#timestampFrom = Number.NEGATIVE_INFINITY
      return true
    }
    return false
  }

  /** Whether there is something below the watermark that is not in memory. */
  get hasMore(): boolean {
    const from = this.#from
    if (this.#gap !== undefined || (this.#window !== undefined && this.#at < this.#window.bytes)) return true
    const offset = 'offset' in from ? from.offset : 0
    return offset < this.highWatermark
  }

  /** Brings the next batches into memory; those that `take` gave before may be overwritten from the call on. */
  fill(): void | Promise<void> {
    const highWatermark = this.highWatermark
    if (highWatermark === 0) return undefined
    this.requireKept()
    const window = this.#source.fill(this.#from, highWatermark)
    if (window instanceof Promise) return window.then((filled) => this.#enter(filled))
    this.#enter(window)
  }

  /** Throws `OFFSET_OUT_OF_RANGE` where what comes next has been forgotten: nothing is ever passed over unsaid. */
  requireKept(): void {
    if (!('offset' in this.#from)) return
    const first = readFirstOffset(this.#client.memory, this.place.slot)
    const offset = Math.max(this.#from.offset, this.#offsetFrom)
    if (offset >= first) return
    const { partition } = this.place
    const next = this.#client.memory.readPointOffset(this.place.slot, PARTITION_DURABLE_SELECT_AT, PARTITION_DURABLE_AT)
    throw new WalrusError(
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} of partition ${partition} has been forgotten by retention or a trim, the first one is ${first}; read on from ${first}`,
      { first, next, offset },
    )
  }

  /**
   * Throws `OFFSET_OUT_OF_RANGE` where the log ends before what has been read: the process that writes had to cut it, and
   * what comes at these offsets now is something else.
   */
  requireThere(): void {
    if (!('offset' in this.#from)) return
    const { slot, partition } = this.place
    const next = this.#client.memory.readPointOffset(slot, PARTITION_DURABLE_SELECT_AT, PARTITION_DURABLE_AT)
    const { offset } = this.#from
    if (offset <= next) return
    throw new WalrusError(
      'OFFSET_OUT_OF_RANGE',
      `partition ${partition} was cut and ends at offset ${next}, ${offset} was to be read next; read on from ${next}`,
      { first: readFirstOffset(this.#client.memory, slot), next, offset },
    )
  }

  #enter(window: Window): void {
    this.#window = window
    this.#at = 0
    this.#from = window.next
    if (window.gap === undefined) return
    const from = Math.max(window.gap.from, this.#offsetFrom)
    const to = Math.min(window.gap.to, this.#offsetEnd)
    if (from < to) this.#gap = new Gap({ ...window.gap, from, to }, this.place.partition)
  }

  /** `isFree`: no view of what `take` gave is valid any more, so that the memory may be another reader's. */
  close(isFree: boolean): void {
    this.#window = undefined
    this.#source.close(isFree)
  }
}

/** The index names a batch this near before any record, and batches are published at about as much: who wants one record
 *  reads a fifth of a whole window, and touches no memory for the rest. */
const FIRST_WINDOW_BYTES = 3 * INDEX_INTERVAL_BYTES

/** Reads in the calling thread, into its own memory. For threads that may wait for a disk. */
class ThreadSource implements WindowSource {
  readonly #store: WindowStore
  readonly #reader: SegmentReader
  #window: ReadWindow | undefined
  #hasFilled = false

  constructor(store: WindowStore, fs: FileSystem, { directory, skip }: PartitionPlace) {
    this.#store = store
    this.#reader = new SegmentReader(fs, directory, { skip })
  }

  fill(from: FillRequest['from'], highWatermark: number): Window {
    const start = locate(this.#reader, from)
    if (this.#hasFilled && this.#window!.region.byteLength < READ_CHUNK_BYTES) {
      this.#store.giveWindow(this.#window!)
      this.#window = this.#store.takeWindow()
    }
    this.#hasFilled = true
    this.#window ??= this.#store.takeWindow(FIRST_WINDOW_BYTES)
    let filled = this.#reader.fill(start, this.#window.region, highWatermark, true)
    if (filled.bytesNeeded !== undefined) {
      this.#window = this.#store.takeWindow(filled.bytesNeeded)
      filled = this.#reader.fill(filled.next, this.#window.region, highWatermark, true)
    }
    return { region: this.#window.region, bytes: filled.bytes, next: filled.next, gap: filled.gap }
  }

  close(isFree: boolean): void {
    this.#reader.close()
    if (isFree && this.#window !== undefined) this.#store.giveWindow(this.#window)
    this.#window = undefined
  }
}

/**
 * Reads on the pool's threads into shared memory, some windows ahead: while the caller walks over a window, the next ones
 * are read and their checksums are checked on another core.
 */
class PoolSource implements WindowSource {
  readonly #client: LogClient
  readonly #request: Pick<FillRequest, 'fileSystem' | 'slot' | 'directory' | 'skip'>
  readonly #ahead: ReadAhead
  /** For what does not come out of the ring: the first window, and whatever ends a session. */
  #window: ReadWindow | undefined
  /** A thread of the pool has the window. */
  #isFilling = false

  constructor(client: LogClient, place: PartitionPlace, fileSystem: string | undefined) {
    this.#client = client
    this.#request = { slot: place.slot, directory: place.directory, skip: place.skip, fileSystem }
    this.#ahead = new ReadAhead(client.windows, (ring, from, highWatermark) =>
      client.control.ahead({ ...this.#request, ring, from, highWatermark }),
    )
  }

  fill(from: FillRequest['from'], highWatermark: number): Window | Promise<Window> {
    // A reader that finds everything there would never let its thread's event loop go round.
    if (isReadTurnOver()) return nextTurn().then(() => this.#fill(from, highWatermark))
    return this.#ahead.take(from, highWatermark) ?? this.#fill(from, highWatermark)
  }

  async #fill(from: FillRequest['from'], highWatermark: number): Promise<Window> {
    await this.#ahead.wait(from, highWatermark)
    const there = this.#ahead.take(from, highWatermark)
    if (there !== undefined) return there
    const window = await this.#read(from, highWatermark)
    if (window.bytes > 0) this.#ahead.start(window.next, highWatermark)
    return window
  }

  async #read(from: FillRequest['from'], highWatermark: number): Promise<Window> {
    const { windows } = this.#client
    for (let start = from; ; ) {
      this.#window ??= windows.takeWindow()
      const { memory, region } = this.#window
      this.#isFilling = true
      const reply = await this.#client.control.fill({
        ...this.#request,
        from: start,
        memory,
        highWatermark,
      })
      this.#isFilling = false
      if (!reply.ok) throw decodeError(reply.error)
      if (reply.bytesNeeded === undefined) return { region, bytes: reply.bytes, next: reply.next, gap: reply.gap }
      assert(reply.bytesNeeded > region.byteLength, 'a larger window is asked for than the one that did not do')
      this.#window = windows.takeWindow(reply.bytesNeeded)
      start = reply.next
    }
  }

  close(isFree: boolean): void {
    this.#ahead.close(isFree)
    if (isFree && !this.#isFilling && this.#window !== undefined) this.#client.windows.giveWindow(this.#window)
    this.#window = undefined
  }
}
