import { constants } from 'node:os'
import path from 'node:path'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import {
  type Durability,
  type FileSystem,
  type OpenFile,
  type RolledSegment,
  SEGMENT_HEADER_BYTES,
  sealSegment,
  segmentFileName,
  systemErrorCode,
} from '@walrus-log/core'
import { blockWhile, notifyAll, ring, sleepUntilRung } from '../lane/doorbell.js'
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
  PARTITION_SYNC_STATE_AT,
  PARTITION_SYNC_WANTED_AT,
  PARTITION_WRITTEN_AT,
  PARTITION_WRITTEN_SELECT_AT,
  partitionAt,
  SYNC_FAILED,
  SYNC_HELD,
  SYNC_IDLE,
  WRITER_CONTROL_AT,
  WRITER_DOORBELL_AT,
  WRITER_SYNC_CONTROL_AT,
  WRITER_SYNC_COUNTERS_AT,
  WRITER_SYNC_DOORBELL_AT,
  writerAt,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import type { SyncMessage } from './messages.js'
import { acknowledge, LaneTable, snapshotLanes, type WrittenSnapshot } from './settlement.js'
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
  /** With `everyMs`: when the next sync is due, and the offset that the last one covered. */
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
  #controlSeen = 0
  #isStopping = false
  /** Something was sealed that the host has not been told of. */
  #hasSealed = false

  constructor(memory: SharedMemory, writer: number, fs: FileSystem, port: MessagePort) {
    this.#memory = memory
    this.#writer = writer
    this.#fs = fs
    this.#port = port
    this.#lanes = new LaneTable(memory, writer)
    this.#watermarks = new WatermarkPublisher(memory)
  }

  /** Returns when the writer said `stop` and all full segments are sealed. */
  run(): void {
    const { words } = this.#memory
    const at = writerAt(this.#writer)
    for (;;) {
      this.#receive()
      let didWork = false
      // By slot: a message may replace a partition's object while another one is served.
      for (const slot of [...this.#partitions.keys()]) {
        const partition = this.#partitions.get(slot)
        if (partition !== undefined && this.#serve(partition)) didWork = true
      }
      if (this.#isStopping && !didWork) break
      if (didWork) continue
      const hasWork = (): boolean => this.#hasWork()
      sleepUntilRung(words, at + WRITER_SYNC_DOORBELL_AT, hasWork, this.#untilDueMs())
    }
    for (const partition of this.#partitions.values()) this.#release(partition)
    this.#watermarks.close()
  }

  #hasWork(): boolean {
    const { words } = this.#memory
    if (Atomics.load(words, writerAt(this.#writer) + WRITER_SYNC_CONTROL_AT) !== this.#controlSeen) return true
    for (const { slot } of this.#partitions.values()) {
      if (Atomics.load(words, partitionAt(slot) + PARTITION_SYNC_WANTED_AT) !== 0) return true
    }
    return false
  }

  #untilDueMs(): number | undefined {
    let dueMs = Number.POSITIVE_INFINITY
    for (const partition of this.#partitions.values()) {
      if (partition.rolled.length > 0) dueMs = Math.min(dueMs, partition.rolled[0].dueMs)
      if (partition.everyMs !== undefined) dueMs = Math.min(dueMs, partition.dueMs)
    }
    return dueMs === Number.POSITIVE_INFINITY ? undefined : Math.max(dueMs - performance.now(), 0)
  }

  #receive(): void {
    this.#controlSeen = Atomics.load(this.#memory.words, writerAt(this.#writer) + WRITER_SYNC_CONTROL_AT)
    for (let received = receiveMessageOnPort(this.#port); received; received = receiveMessageOnPort(this.#port)) {
      this.#handle(received.message as SyncMessage)
    }
  }

  #handle(message: SyncMessage): void {
    switch (message.type) {
      case 'watch': {
        // Said again after a failure: what was known of the partition's segments is over.
        const before = this.#partitions.get(message.slot)
        if (before !== undefined) this.#release(before)
        this.#partitions.set(message.slot, watched(message.slot, message.directory, message.durability))
        this.#watermarks.add(message.slot, message.watermark)
        return
      }
      case 'rolled': {
        const dueMs = performance.now() + SEAL_DELAY_MS
        this.#partitions.get(message.slot)!.rolled.push({ segment: message.segment, dueMs })
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

  /** Does what is due for a partition. Returns whether there was anything. */
  #serve(partition: WatchedPartition): boolean {
    const { words } = this.#memory
    const wantedAt = partitionAt(partition.slot) + PARTITION_SYNC_WANTED_AT
    if (Atomics.exchange(words, wantedAt, 0) === 1) {
      this.#syncHeld(partition)
      return true
    }
    const nowMs = performance.now()
    if (partition.everyMs !== undefined && nowMs >= partition.dueMs) {
      partition.dueMs = nowMs + partition.everyMs
      const point = this.#written(partition.slot)
      if (point.offset === partition.offsetSynced) return false
      return this.#guarded(partition, () => this.#sync(partition, point))
    }
    if (partition.rolled.length > 0 && (this.#isStopping || nowMs >= partition.rolled[0].dueMs)) {
      const [next] = partition.rolled
      if (this.#guarded(partition, () => this.#sealOne(partition))) return true
      next.dueMs = nowMs + SEAL_AGAIN_MS
    }
    return false
  }

  /** Syncs and acknowledges in the name of the writer, who gave the sync state away, until there is nothing new. */
  #syncHeld(watched: WatchedPartition): void {
    const { words } = this.#memory
    let partition = watched
    const stateAt = partitionAt(partition.slot) + PARTITION_SYNC_STATE_AT
    for (;;) {
      const snapshot = snapshotLanes(this.#memory, this.#lanes.of(partition.slot))
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
      if (Atomics.load(words, partitionAt(partition.slot) + PARTITION_PUBLISH_WANTED_AT) === 1) this.#callWriter()
      this.#tellSealed()
      // The writer leaves to this thread what it wrote while the state was held: look again, now that it is not.
      if (!this.#hasNew(partition, snapshot, point)) return
      if (Atomics.compareExchange(words, stateAt, SYNC_IDLE, SYNC_HELD) !== SYNC_IDLE) return
    }
  }

  #hasNew(partition: WatchedPartition, snapshot: WrittenSnapshot, point: Point): boolean {
    if (this.#written(partition.slot).offset !== point.offset) return true
    const now = snapshotLanes(this.#memory, this.#lanes.of(partition.slot))
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
    this.#hasSealed = true
  }

  /** Tells the host of seals, once the acknowledged point has gone beyond them: there may be something to forget. */
  #tellSealed(): void {
    if (!this.#hasSealed) return
    this.#hasSealed = false
    const { words } = this.#memory
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
    this.#callWriter()
  }

  /** Has the writer look at its partitions. */
  #callWriter(): void {
    const { words } = this.#memory
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
    dueMs: performance.now() + (everyMs ?? 0),
    offsetSynced: -1,
  }
}
