import {
  allocateShared,
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
  Region,
  SegmentReader,
  WalrusError,
  type WasmMemory,
} from '@walrus-log/core'
import { PARTITION_DURABLE_AT, PARTITION_DURABLE_SELECT_AT } from '../memory/layout.js'
import { decodeError } from '../message/error-codec.js'
import { ReadAhead } from '../reader-pool/read-ahead.js'
import { type FillRequest, locate } from '../reader-pool/tasks.js'
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
  close(): void
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
      options.fs === undefined ? new PoolSource(client, place, options.fileSystem) : new ThreadSource(options.fs, place)
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
      if (this.#timestampFrom !== Number.NEGATIVE_INFINITY && !this.#beginInBatch(region, at)) continue
      const batch = new Batch<Value>(region, at, this.#at, this.place.partition, this.#codec, this.#offsetFrom)
      // Compaction may have left nothing of it.
      if (batch.count > 0) return batch
    }
    return undefined
  }

  /** Whether the first record of the time asked for is in this batch; from there on, all are given in the order of offsets. */
  #beginInBatch(region: Region, at: number): boolean {
    for (const { offset, timestamp } of new Batch<Value>(region, at, this.#at, this.place.partition, this.#codec, 0)) {
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

  close(): void {
    this.#source.close()
  }
}

/** The index names a batch this near before any record, and batches are published at about as much: who wants one record
 *  reads a fifth of a whole window, and touches no memory for the rest. */
const FIRST_WINDOW_BYTES = 3 * INDEX_INTERVAL_BYTES

/** Reads in the calling thread, into memory of its own. For threads that may wait for a disk. */
class ThreadSource implements WindowSource {
  readonly #reader: SegmentReader
  #region = Region.allocateHashed(FIRST_WINDOW_BYTES)
  #hasFilled = false

  constructor(fs: FileSystem, { directory, skip }: PartitionPlace) {
    this.#reader = new SegmentReader(fs, directory, { skip })
  }

  fill(from: FillRequest['from'], highWatermark: number): Window {
    const start = locate(this.#reader, from)
    if (this.#hasFilled && this.#region.byteLength < READ_CHUNK_BYTES)
      this.#region = Region.allocateHashed(READ_CHUNK_BYTES)
    this.#hasFilled = true
    let filled = this.#reader.fill(start, this.#region, highWatermark, true)
    if (filled.bytesNeeded !== undefined) {
      this.#region = Region.allocateHashed(filled.bytesNeeded)
      filled = this.#reader.fill(filled.next, this.#region, highWatermark, true)
    }
    return { region: this.#region, bytes: filled.bytes, next: filled.next, gap: filled.gap }
  }

  close(): void {
    this.#reader.close()
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
  #memory: WasmMemory | SharedArrayBuffer | undefined
  #region: Region | undefined

  constructor(client: LogClient, place: PartitionPlace, fileSystem: string | undefined) {
    this.#client = client
    this.#request = { slot: place.slot, directory: place.directory, skip: place.skip, fileSystem }
    this.#ahead = new ReadAhead((ring, from, highWatermark) =>
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
    let bytesNeeded = READ_CHUNK_BYTES
    for (let start = from; ; ) {
      if (this.#region === undefined || this.#region.byteLength < bytesNeeded) {
        this.#memory = allocateShared(bytesNeeded)
        this.#region = new Region(this.#memory)
      }
      const region = this.#region
      const reply = await this.#client.control.fill({
        ...this.#request,
        from: start,
        memory: this.#memory!,
        highWatermark,
      })
      if (!reply.ok) throw decodeError(reply.error)
      if (reply.bytesNeeded === undefined) return { region, bytes: reply.bytes, next: reply.next, gap: reply.gap }
      assert(reply.bytesNeeded > region.byteLength, 'a larger window is asked for than the one that did not do')
      bytesNeeded = reply.bytesNeeded
      start = reply.next
    }
  }

  close(): void {
    this.#ahead.close()
  }
}
