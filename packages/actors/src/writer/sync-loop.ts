import { constants } from 'node:os'
import path from 'node:path'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import {
  type Durability,
  type FileSystem,
  type OpenFile,
  ownWords,
  type RolledSegment,
  SEGMENT_HEADER_BYTES,
  sealSegment,
  segmentFileName,
  systemErrorCode,
} from '@walrus-log/core'
import { blockWhile, notifyAll, ring, sleepUntilRung } from '../lane/doorbell.js'
import { DueQueue } from '../memory/due-queue.js'
import {
  CLIENT_DOORBELL_AT,
  COUNTER_SYNCS,
  clientAt,
  HEADER_SEALED_SIGNAL_AT,
  HOST_CLIENT,
  PARTITION_CUT_WANTED_AT,
  PARTITION_PUBLISH_WANTED_AT,
  PARTITION_SEALED_AT,
  PARTITION_SYNC_BUSY_AT,
  PARTITION_SYNC_ERROR_AT,
  PARTITION_SYNC_SCHEDULED_AT,
  PARTITION_SYNC_STATE_AT,
  PARTITION_SYNC_WANTED_AT,
  PARTITION_WRITTEN_AT,
  PARTITION_WRITTEN_SELECT_AT,
  partitionAt,
  SEALED_BITS_AT,
  SYNC_FAILED,
  SYNC_HELD,
  SYNC_IDLE,
  WRITER_ATTENTION_AT,
  WRITER_CONTROL_AT,
  WRITER_DOORBELL_AT,
  WRITER_SYNC_CONTROL_AT,
  WRITER_SYNC_COUNTERS_AT,
  WRITER_SYNC_DOORBELL_AT,
  WRITER_SYNC_READY_AT,
  writerAt,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import { SlotBits, setBit } from '../memory/slot-bits.js'
import { LaneTable, type WrittenSnapshot } from './lane-table.js'
import type { SyncMessage } from './messages.js'
import { acknowledge } from './settlement.js'
import { WatermarkPublisher } from './watermark-publisher.js'

/** A full segment of a topic that asks for no sync is sealed this long after it was rolled: by then the system has
 *  written most of it back by itself, and syncing it does not compete with the ingest. */
const SEAL_DELAY_MS = 10_000

/** A seal that came in the way of a cut is looked at again after this long. */
const SEAL_AGAIN_MS = 100

/** How often a failure that waits for the writer looks whether the writer has handed the partition over instead. */
const HELD_LOOK_MS = 10

interface WatchedPartition {
  slot: number
  directory: string
  everyMs: number | undefined
  rolled: { segment: RolledSegment; dueMs: number }[]
  file: OpenFile | undefined
  fileBase: number
  /** When the next scheduled sync is due, infinite where there is nothing for it; and the offset that the last one covered. */
  dueMs: number
  offsetSynced: number
}

/**
 * The second thread of a segment writer: makes what was written durable and acknowledges it, while the writer writes on.
 * It opens files by itself, so that a descriptor of a writer that died can never be mistaken for another file's.
 */
export class SyncLoop {
  readonly #memory: SharedMemory
  readonly #writer: number
  readonly #fs: FileSystem
  readonly #port: MessagePort
  readonly #lanes: LaneTable
  readonly #partitions = new Map<number, WatchedPartition>()
  readonly #watermarks: WatermarkPublisher
  /** Partitions that the writer wants looked at. */
  readonly #ready: SlotBits
  /** When scheduled syncs and seals are due, by `performance.now()`. */
  readonly #due = new DueQueue()
  #controlSeen = 0
  #isStopping = false
  /** Slots of what was sealed that the host has not been told of. */
  readonly #sealed: number[] = []

  constructor(memory: SharedMemory, writer: number, fs: FileSystem, port: MessagePort) {
    this.#memory = memory
    this.#writer = writer
    this.#fs = fs
    this.#port = port
    this.#lanes = new LaneTable(memory, writer)
    this.#watermarks = new WatermarkPublisher(memory)
    this.#ready = new SlotBits(memory.words, writerAt(writer) + WRITER_SYNC_READY_AT)
  }

  /** Returns when the writer said `stop` and all full segments are sealed. */
  run(): void {
    const { words } = this.#memory
    const at = writerAt(this.#writer)
    const hasWork = (): boolean => this.#hasWork()
    for (;;) {
      this.#receive()
      // Both in each turn: a topic that wants one sync after the other must not hold up another's schedule.
      const hasServed = this.#ready.take(this.#serveReady)
      if (this.#serveDue() || hasServed) continue
      if (this.#isStopping) break
      const untilMs = this.#due.nextMs - performance.now()
      const timeoutMs = untilMs === Number.POSITIVE_INFINITY ? undefined : Math.max(untilMs, 0)
      sleepUntilRung(words, at + WRITER_SYNC_DOORBELL_AT, hasWork, timeoutMs)
    }
    for (const slot of this.#partitions.keys()) this.#sealAll(slot)
    for (const partition of this.#partitions.values()) this.#release(partition)
    this.#watermarks.close()
  }

  #hasWork(): boolean {
    const { words } = this.#memory
    if (Atomics.load(words, writerAt(this.#writer) + WRITER_SYNC_CONTROL_AT) !== this.#controlSeen) return true
    return this.#ready.hasAny
  }

  #receive(): void {
    this.#controlSeen = Atomics.load(this.#memory.words, writerAt(this.#writer) + WRITER_SYNC_CONTROL_AT)
    for (let received = receiveMessageOnPort(this.#port); received; received = receiveMessageOnPort(this.#port)) {
      this.#handle(ownWords(received.message as SyncMessage))
    }
  }

  #handle(message: SyncMessage): void {
    switch (message.type) {
      case 'watch': {
        // Said again after a failure: what was known of the partition's segments is over.
        const before = this.#partitions.get(message.slot)
        if (before !== undefined) this.#release(before)
        const partition = watched(message.slot, message.directory, message.durability)
        this.#partitions.set(message.slot, partition)
        this.#watermarks.add(message.slot, message.watermark)
        this.#ready.include(message.slot)
        // A bit that came before this message was taken for nobody's.
        setBit(this.#memory.words, writerAt(this.#writer) + WRITER_SYNC_READY_AT, message.slot)
        if (partition.everyMs !== undefined) this.#schedule(message.slot, partition.everyMs)
        return
      }
      case 'rolled': {
        const dueMs = performance.now() + SEAL_DELAY_MS
        this.#partitions.get(message.slot)!.rolled.push({ segment: message.segment, dueMs })
        this.#due.add(message.slot, dueMs)
        return
      }
      case 'release': {
        const partition = this.#partitions.get(message.slot)
        this.#partitions.delete(message.slot)
        this.#watermarks.remove(message.slot)
        if (partition !== undefined) this.#release(partition)
        return
      }
      case 'stop':
        this.#isStopping = true
    }
  }

  /** The writer has set the partition's bit: a sync is wanted, or there is something for the next scheduled one. */
  readonly #serveReady = (slot: number): void => {
    const { words } = this.#memory
    const partition = this.#partitions.get(slot)
    if (partition === undefined) return
    if (Atomics.exchange(words, partitionAt(slot) + PARTITION_SYNC_WANTED_AT, 0) === 1) this.#syncHeld(partition)
    // A message may have replaced the partition's object meanwhile.
    const { everyMs, dueMs } = this.#partitions.get(slot) ?? partition
    if (everyMs === undefined || dueMs !== Number.POSITIVE_INFINITY) return
    if (Atomics.load(words, partitionAt(slot) + PARTITION_SYNC_SCHEDULED_AT) === 1) this.#schedule(slot, everyMs)
  }

  #schedule(slot: number, everyMs: number): void {
    const partition = this.#partitions.get(slot)
    if (partition === undefined) return
    partition.dueMs = performance.now() + everyMs
    this.#due.add(slot, partition.dueMs)
  }

  /** Does what one partition is due for. Returns whether one was due. */
  #serveDue(): boolean {
    const nowMs = performance.now()
    const slot = this.#due.take(nowMs)
    if (slot === undefined) return false
    const partition = this.#partitions.get(slot)
    if (partition === undefined) return true
    if (partition.dueMs <= nowMs) this.#syncScheduled(partition)
    else if (partition.rolled.length > 0 && partition.rolled[0].dueMs <= nowMs) {
      const [next] = partition.rolled
      if (!this.#guarded(partition, () => this.#sealOne(partition))) next.dueMs = nowMs + SEAL_AGAIN_MS
    }
    const after = this.#partitions.get(slot)
    if (after !== undefined) this.#due.add(slot, Math.min(after.dueMs, after.rolled[0]?.dueMs ?? after.dueMs))
    return true
  }

  #syncScheduled(partition: WatchedPartition): void {
    partition.dueMs = Number.POSITIVE_INFINITY
    // Before the point is read: what the writer writes after that schedules the next one.
    Atomics.store(this.#memory.words, partitionAt(partition.slot) + PARTITION_SYNC_SCHEDULED_AT, 0)
    const point = this.#written(partition.slot)
    if (point.offset !== partition.offsetSynced) this.#guarded(partition, () => this.#sync(partition, point))
  }

  /** At the end nothing waits any more. What comes in the way of a cut is left to the next open. */
  #sealAll(slot: number): void {
    for (;;) {
      const partition = this.#partitions.get(slot)
      if (partition === undefined || partition.rolled.length === 0) return
      if (!this.#guarded(partition, () => this.#sealOne(partition))) return
    }
  }

  /** Syncs and acknowledges in the name of the writer, who gave the sync state away, until there is nothing new. */
  #syncHeld(watched: WatchedPartition): void {
    const { words } = this.#memory
    let partition = watched
    const stateAt = partitionAt(partition.slot) + PARTITION_SYNC_STATE_AT
    for (;;) {
      const snapshot = this.#lanes.snapshot(partition.slot)
      const point = this.#written(partition.slot)
      // A segment's end is told before the point moves beyond it.
      this.#receive()
      partition = this.#partitions.get(partition.slot) ?? partition
      try {
        this.#sync(partition, point)
      } catch (error) {
        this.#fail(partition, error)
        return
      }
      this.#watermarks.publish(partition.slot, point)
      acknowledge(this.#memory, this.#writer, partition.slot, snapshot, point)
      Atomics.store(words, stateAt, SYNC_IDLE)
      notifyAll(words, stateAt)
      // Looked at behind the store: a writer that came in vain set it, or found it set, before.
      if (Atomics.load(words, partitionAt(partition.slot) + PARTITION_PUBLISH_WANTED_AT) === 1)
        this.#callWriter(partition.slot)
      this.#tellSealed()
      // The writer leaves to this thread what it wrote while the state was held: look again, now that it is not.
      if (!this.#hasNew(partition, snapshot, point)) return
      if (Atomics.compareExchange(words, stateAt, SYNC_IDLE, SYNC_HELD) !== SYNC_IDLE) return
    }
  }

  #hasNew(partition: WatchedPartition, snapshot: WrittenSnapshot, point: Point): boolean {
    if (this.#written(partition.slot).offset !== point.offset) return true
    const now = this.#lanes.snapshot(partition.slot)
    return now.lanes !== snapshot.lanes || now.counts.some((count, index) => count !== snapshot.counts[index])
  }

  #sync(partition: WatchedPartition, point: Point): void {
    while (partition.rolled.length > 0 && partition.rolled[0].segment.baseOffset < point.baseOffset)
      this.#sealOne(partition)
    partition.offsetSynced = point.offset
    if (point.position <= SEGMENT_HEADER_BYTES) return
    if (partition.file === undefined || partition.fileBase !== point.baseOffset) {
      partition.file?.close()
      partition.file = undefined
      partition.file = this.#fs.open(path.join(partition.directory, segmentFileName(point.baseOffset)), 'write')
      partition.fileBase = point.baseOffset
      this.#fs.syncDirectory(partition.directory)
    }
    partition.file.sync()
    this.#memory.doubles[((writerAt(this.#writer) + WRITER_SYNC_COUNTERS_AT) >>> 1) + COUNTER_SYNCS]++
  }

  #sealOne(partition: WatchedPartition): void {
    const { segment } = partition.rolled[0]
    if (partition.fileBase === segment.baseOffset) {
      partition.file?.close()
      partition.file = undefined
      partition.fileBase = -1
    }
    sealSegment(this.#fs, partition.directory, segment, Date.now())
    partition.rolled.shift()
    Atomics.add(this.#memory.words, partitionAt(partition.slot) + PARTITION_SEALED_AT, 1)
    this.#sealed.push(partition.slot)
  }

  /** Tells the host of seals, once the acknowledged point has gone beyond them: there may be something to forget. */
  #tellSealed(): void {
    if (this.#sealed.length === 0) return
    const { words } = this.#memory
    for (const slot of this.#sealed.splice(0)) setBit(words, SEALED_BITS_AT, slot)
    Atomics.add(words, HEADER_SEALED_SIGNAL_AT, 1)
    ring(words, clientAt(HOST_CLIENT) + CLIENT_DOORBELL_AT)
  }

  /**
   * Runs what syncs outside an acknowledgement, and without the sync state, unless the writer is about to cut the same
   * files. A failure poisons the segment all the same. Returns whether it was run.
   */
  #guarded(partition: WatchedPartition, action: () => void): boolean {
    const { words } = this.#memory
    const at = partitionAt(partition.slot)
    Atomics.store(words, at + PARTITION_SYNC_BUSY_AT, 1)
    // The writer says `watch` anew before it takes its word of the cut back: what was rolled before it is forgotten.
    const isCutWanted = Atomics.load(words, at + PARTITION_CUT_WANTED_AT) === 1
    this.#receive()
    const isRunning = !isCutWanted && this.#partitions.get(partition.slot) === partition
    let failure: { error: unknown } | undefined
    try {
      if (isRunning) action()
    } catch (error) {
      failure = { error }
    }
    // Given back before the state is waited for: the writer may hold that one and wait for this.
    Atomics.store(words, at + PARTITION_SYNC_BUSY_AT, 0)
    notifyAll(words, at + PARTITION_SYNC_BUSY_AT)
    this.#tellSealed()
    if (failure !== undefined) {
      const stateAt = at + PARTITION_SYNC_STATE_AT
      while (Atomics.compareExchange(words, stateAt, SYNC_IDLE, SYNC_HELD) !== SYNC_IDLE) {
        // Held in the writer's name: it has given the state to this thread, which has not come to it.
        if (Atomics.exchange(words, at + PARTITION_SYNC_WANTED_AT, 0) === 1) break
        if (Atomics.load(words, stateAt) === SYNC_FAILED) return isRunning
        blockWhile(words, stateAt, SYNC_HELD, HELD_LOOK_MS)
      }
      this.#fail(partition, failure.error)
    }
    return isRunning
  }

  /** Leaves the partition to the writer, which refuses what is not acknowledged. A failed sync is never tried again. */
  #fail(partition: WatchedPartition, error: unknown): void {
    const { words } = this.#memory
    const at = partitionAt(partition.slot)
    Atomics.store(words, at + PARTITION_CUT_WANTED_AT, 1)
    this.#release(partition)
    partition.rolled.length = 0
    words[at + PARTITION_SYNC_ERROR_AT] =
      (constants.errno as Record<string, number>)[systemErrorCode(error)] ?? constants.errno.EIO
    Atomics.store(words, at + PARTITION_SYNC_STATE_AT, SYNC_FAILED)
    notifyAll(words, at + PARTITION_SYNC_STATE_AT)
    this.#callWriter(partition.slot)
  }

  /** Has the writer look at the partition. */
  #callWriter(slot: number): void {
    const { words } = this.#memory
    setBit(words, writerAt(this.#writer) + WRITER_ATTENTION_AT, slot)
    Atomics.add(words, writerAt(this.#writer) + WRITER_CONTROL_AT, 1)
    ring(words, writerAt(this.#writer) + WRITER_DOORBELL_AT)
  }

  #written(slot: number): Point {
    const at = partitionAt(slot)
    return this.#memory.readPoint(at + PARTITION_WRITTEN_SELECT_AT, at + PARTITION_WRITTEN_AT)
  }

  #release(partition: WatchedPartition): void {
    partition.file?.close()
    partition.file = undefined
    partition.fileBase = -1
  }
}

function watched(slot: number, directory: string, durability: Durability): WatchedPartition {
  const everyMs = typeof durability === 'object' ? durability.everyMs : undefined
  return {
    slot,
    directory,
    everyMs,
    rolled: [],
    file: undefined,
    fileBase: -1,
    dueMs: Number.POSITIVE_INFINITY,
    offsetSynced: -1,
  }
}
