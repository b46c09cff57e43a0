import {
  effectiveSegmentMs,
  isKept,
  type KeepingConfig,
  SEGMENT_MS_MAX,
  type TopicConfig,
  WalrusError,
} from '@walrus-log/core'
import type { WriterEvent } from '../actor/supervised-writer.js'
import { ring } from '../lane/doorbell.js'
import { DueQueue } from '../memory/due-queue.js'
import {
  HEADER_SEALED_SIGNAL_AT,
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITION_FIRST_OFFSET_AT,
  PARTITION_PUBLISH_WANTED_AT,
  PARTITION_ROLL_WANTED_AT,
  PARTITION_SEALED_AT,
  partitionAt,
  SEALED_BITS_AT,
  WRITER_ATTENTION_AT,
  WRITER_CONTROL_AT,
  WRITER_DOORBELL_AT,
  writerAt,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import { SlotBits, setBit } from '../memory/slot-bits.js'
import type { ReaderPool } from '../reader-pool/reader-pool.js'
import { isRewritten, Rewriting } from '../reader-pool/rewriting.js'
import { type PartitionPlace, readFirstOffset } from './log-client.js'

/** What could not be forgotten is tried again after this long, or at the next seal. */
const AGAIN_MS = 60_000

/** No timer is set shorter than this: what is due at once is done at once, and what follows can wait. */
const PAUSE_MS_MIN = 50

interface Watched {
  topic: string
  place: PartitionPlace
  config: KeepingConfig
  /** Seals and open segment of the last run: another run has something to look at when these are others. */
  sealedSeen: number
  baseSeen: number
  /** When age alone gives something to do; infinite where it does not. */
  retainDueMs: number
  rollDueMs: number
  isQueued: boolean
  rewriting: Rewriting
  /** The partition's runs, one after the other. */
  runs: Promise<unknown>
}

/**
 * Keeps what is to be kept of each open partition, and no more: the host's part, which decides when. A run is begun by a
 * seal, by one timer for all partitions, or by a call; reading and removing are the reader pool's work, and segments are
 * ended by their writers.
 *
 * Order of forgetting: the first offset is durable (`partition.state`), then in shared memory, then files are removed.
 * So a reader that meets a file which is gone finds a first offset above its own.
 */
export class Maintenance {
  readonly #memory: SharedMemory
  readonly #pool: ReaderPool
  readonly #onEvent: (event: WriterEvent) => void
  readonly #watched = new Map<number, Watched>()
  /** What is to be rewritten, one after the other: of the pool's threads, the others are for readers. */
  #rewrites: Promise<unknown> = Promise.resolve()
  #signalSeen = 0
  readonly #sealedBits: SlotBits
  /** When age gives a partition something to do, by the wall clock. */
  readonly #due = new DueQueue()
  #timer: NodeJS.Timeout | undefined
  #timerDueMs = Number.POSITIVE_INFINITY
  #isClosed = false

  constructor(memory: SharedMemory, pool: ReaderPool, onEvent: (event: WriterEvent) => void) {
    this.#memory = memory
    this.#sealedBits = new SlotBits(memory.words, SEALED_BITS_AT)
    this.#pool = pool
    this.#onEvent = onEvent
  }

  /** Looks after an open topic's partitions; called again with settings that have changed. */
  watch(config: TopicConfig, places: readonly PartitionPlace[]): void {
    for (const place of places) {
      const known = this.#watched.get(place.slot)
      if (known !== undefined) known.config = config
      else {
        this.#watched.set(place.slot, {
          topic: config.name,
          place,
          config,
          sealedSeen: -1,
          baseSeen: -1,
          retainDueMs: Number.POSITIVE_INFINITY,
          rollDueMs: Number.POSITIVE_INFINITY,
          isQueued: false,
          rewriting: new Rewriting(),
          runs: Promise.resolve(),
        })
      }
      this.#sealedBits.include(place.slot)
      this.#queue(this.#watched.get(place.slot)!)
    }
  }

  /** Begins a run: since the last seal, as many records may have come as make a segment surplus. */
  look(places: readonly PartitionPlace[]): void {
    for (const { slot } of places) {
      const watched = this.#watched.get(slot)
      if (watched !== undefined) this.#queue(watched)
    }
  }

  /** Ends what is under way for partitions that are closed. */
  async forget(slots: readonly number[]): Promise<void> {
    const ended = slots.map((slot) => this.#watched.get(slot)).filter((watched) => watched !== undefined)
    for (const slot of slots) this.#watched.delete(slot)
    for (const { rewriting } of ended) rewriting.stop()
    await Promise.allSettled(ended.map(({ runs }) => runs))
  }

  /** Looks whether a sync thread has sealed anything; to be asked whenever the host's bell rings. */
  poll(): void {
    const signal = Atomics.load(this.#memory.words, HEADER_SEALED_SIGNAL_AT)
    if (signal === this.#signalSeen) return
    this.#signalSeen = signal
    this.#sealedBits.take(this.#lookAtSealed)
  }

  readonly #lookAtSealed = (slot: number): void => {
    const watched = this.#watched.get(slot)
    if (watched === undefined) return
    if (watched.sealedSeen === this.#sealed(watched) && watched.baseSeen === this.#durable(watched).baseOffset) return
    this.#queue(watched)
  }

  /** Forgets what lies before an offset or a time. Resolves to the first offset. */
  trim(slot: number, before: number | { timestampMs: number }): Promise<number> {
    const watched = this.#watched.get(slot)
    if (watched === undefined || this.#isClosed) {
      return Promise.reject(new WalrusError('CLOSED', 'the log or the topic is closed; open it again'))
    }
    // What is begun is done again behind the trim.
    watched.rewriting.stop()
    const trimmed = watched.runs.then(async () => {
      const { offsetFirst } = await this.#pool.keep({ ...this.#request(watched), step: 'trim', before })
      await this.#forgetBefore(watched, offsetFirst)
      return readFirstOffset(this.#memory, slot)
    })
    watched.runs = trimmed.catch(() => {})
    return trimmed
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.forget([...this.#watched.keys()])
  }

  /** Whether nothing of the partition is to be rewritten or forgotten, and never was. */
  #isIdle({ config, place }: Watched): boolean {
    return isKept(config) && !isRewritten(config) && readFirstOffset(this.#memory, place.slot) === 0
  }

  #queue(watched: Watched): void {
    if (watched.isQueued || this.#isClosed || this.#isIdle(watched)) return
    watched.isQueued = true
    watched.runs = watched.runs.then(async () => {
      watched.isQueued = false
      if (this.#isClosed || !this.#watched.has(watched.place.slot)) return
      try {
        await this.#run(watched)
        this.#rewriteLater(watched)
      } catch (error) {
        watched.retainDueMs = Date.now() + AGAIN_MS
        if (!this.#isClosed) this.#tell(watched, error as Error)
      }
      this.#due.add(watched.place.slot, Math.min(watched.retainDueMs, watched.rollDueMs))
      this.#arm()
    })
  }

  /** Has segments rewritten when it is this partition's turn: one at a time in the whole log, a step a turn. */
  #rewriteLater(watched: Watched): void {
    const { rewriting } = watched
    if (rewriting.isQueued || this.#isClosed || !isRewritten(watched.config)) return
    rewriting.isQueued = true
    this.#rewrites = this.#rewrites.then(() => {
      watched.runs = watched.runs.then(() => this.#rewrite(watched))
      return watched.runs
    })
  }

  async #rewrite(watched: Watched): Promise<void> {
    const { rewriting, config, place } = watched
    rewriting.isQueued = false
    if (this.#isClosed || !this.#watched.has(place.slot) || !isRewritten(config)) return
    let { retainDueMs } = watched
    try {
      const { isMore, dueMs, error } = await rewriting.step(this.#pool, config, {
        partitionDirectory: place.directory,
        openBaseOffset: this.#durable(watched).baseOffset,
      })
      if (error !== undefined) this.#tell(watched, error)
      if (isMore) this.#rewriteLater(watched)
      retainDueMs = Math.min(retainDueMs, dueMs)
    } catch (error) {
      retainDueMs = Math.min(retainDueMs, Date.now() + AGAIN_MS)
      if (!this.#isClosed) this.#tell(watched, error as Error)
    }
    watched.retainDueMs = retainDueMs
    this.#due.add(place.slot, Math.min(retainDueMs, watched.rollDueMs))
    this.#arm()
  }

  #tell({ topic, place: { partition, writer } }: Watched, error: Error): void {
    this.#onEvent({ type: 'maintenance-failed', writer, topic, partition, error })
  }

  async #run(watched: Watched): Promise<void> {
    const { config } = watched
    watched.sealedSeen = this.#sealed(watched)
    const request = this.#request(watched)
    const isNewBase = watched.baseSeen !== request.open.baseOffset
    watched.baseSeen = request.open.baseOffset
    const retention = config.retention ?? {}
    const nowMs = Date.now()
    const kept = await this.#pool.keep({ ...request, step: 'retain', retention, nowMs })
    watched.retainDueMs = kept.dueMs ?? Number.POSITIVE_INFINITY
    await this.#forgetBefore(watched, kept.offsetFirst)
    this.#rollByAge(watched, nowMs, isNewBase ? kept.openCreatedMs : undefined)
  }

  async #forgetBefore(watched: Watched, offsetFirst: number): Promise<void> {
    const isMoved = offsetFirst > readFirstOffset(this.#memory, watched.place.slot)
    raiseFirstOffset(this.#memory, watched.place.slot, offsetFirst)
    if (isMoved) this.#askWriter(watched, PARTITION_PUBLISH_WANTED_AT)
    if (offsetFirst > 0) await this.#pool.keep({ ...this.#request(watched), step: 'remove' })
  }

  /** Asks the writer to end a segment of that age, and sees to it that the next look comes when there is one. */
  #rollByAge(watched: Watched, nowMs: number, createdMs: number | undefined): void {
    const segmentMs = effectiveSegmentMs(watched.config)
    if (segmentMs === undefined) {
      watched.rollDueMs = Number.POSITIVE_INFINITY
      return
    }
    // A file whose date lies ahead of the clock is as old as this process knows it.
    if (createdMs !== undefined) watched.rollDueMs = Math.min(createdMs, nowMs) + segmentMs
    else watched.rollDueMs = Math.min(watched.rollDueMs, nowMs + segmentMs)
    if (watched.rollDueMs > nowMs) return
    const { baseOffset, offset } = this.#durable(watched)
    // An empty segment is as good as a new one.
    watched.rollDueMs = nowMs + segmentMs
    if (offset === baseOffset) return
    this.#askWriter(watched, PARTITION_ROLL_WANTED_AT)
  }

  /** Sets a word of the partition that its writer looks at when it is asked to. */
  #askWriter({ place: { slot, writer } }: Watched, wordAt: number): void {
    const { words } = this.#memory
    Atomics.store(words, partitionAt(slot) + wordAt, 1)
    setBit(words, writerAt(writer) + WRITER_ATTENTION_AT, slot)
    Atomics.add(words, writerAt(writer) + WRITER_CONTROL_AT, 1)
    ring(words, writerAt(writer) + WRITER_DOORBELL_AT)
  }

  /** One timer for all, for the earliest that is due. It does not keep the process alive. */
  #arm(): void {
    const dueMs = this.#due.nextMs
    if (this.#isClosed || dueMs >= this.#timerDueMs) return
    clearTimeout(this.#timer)
    this.#timerDueMs = dueMs
    const pauseMs = Math.min(Math.max(dueMs - Date.now(), PAUSE_MS_MIN), SEGMENT_MS_MAX)
    this.#timer = setTimeout(() => this.#onTimer(), pauseMs)
    this.#timer.unref()
  }

  #onTimer(): void {
    this.#timerDueMs = Number.POSITIVE_INFINITY
    const nowMs = Date.now()
    for (let slot = this.#due.take(nowMs); slot !== undefined; slot = this.#due.take(nowMs)) {
      const watched = this.#watched.get(slot)
      if (watched === undefined) continue
      const dueMs = Math.min(watched.retainDueMs, watched.rollDueMs)
      if (dueMs <= nowMs) this.#queue(watched)
      else this.#due.add(slot, dueMs)
    }
    this.#arm()
  }

  #request(watched: Watched): { partitionDirectory: string; open: Point } {
    return { partitionDirectory: watched.place.directory, open: this.#durable(watched) }
  }

  #durable({ place: { slot } }: Watched): Point {
    const at = partitionAt(slot)
    return this.#memory.readPoint(at + PARTITION_DURABLE_SELECT_AT, at + PARTITION_DURABLE_AT)
  }

  #sealed({ place: { slot } }: Watched): number {
    return Atomics.load(this.#memory.words, partitionAt(slot) + PARTITION_SEALED_AT)
  }
}

/** Moves a partition's first offset on; never back, whoever else does the same. */
export function raiseFirstOffset(memory: SharedMemory, slot: number, offset: number): void {
  const at = (partitionAt(slot) + PARTITION_FIRST_OFFSET_AT) >>> 1
  for (let seen = Atomics.load(memory.wide, at); seen < BigInt(offset); ) {
    const before = Atomics.compareExchange(memory.wide, at, seen, BigInt(offset))
    if (before === seen) return
    seen = before
  }
}
