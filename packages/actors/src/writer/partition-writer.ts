import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import {
  ADMIT,
  batchBaseOffset,
  batchDurability,
  batchLength,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchSequenceFirst,
  cutPartition,
  FENCED,
  type FileSystem,
  isBatchOfNamed,
  type KnownGood,
  PartitionLog,
  type Region,
  type RolledSegment,
  systemErrorCode,
} from '@walrus-log/core'
import { blockWhile, notifyAll } from '../lane/doorbell.js'
import { OWN_MEMORY } from '../lane/record-lane.js'
import {
  COUNTER_BATCHES,
  COUNTER_BYTES,
  COUNTER_RECORDS,
  COUNTER_SYNCS_OWN,
  COUNTER_WRITES,
  LANE_SETTLED_AT,
  laneAt,
  PARTITION_CUT_WANTED_AT,
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITION_EPOCH_AT,
  PARTITION_FIRST_OFFSET_AT,
  PARTITION_PUBLISH_WANTED_AT,
  PARTITION_ROLL_WANTED_AT,
  PARTITION_SEALED_AT,
  PARTITION_SYNC_BUSY_AT,
  PARTITION_SYNC_ERROR_AT,
  PARTITION_SYNC_STATE_AT,
  PARTITION_WRITTEN_AT,
  PARTITION_WRITTEN_SELECT_AT,
  partitionAt,
  SYNC_FAILED,
  SYNC_HELD,
  SYNC_IDLE,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import { durabilityLevel, LEVEL_DISK } from './durability.js'
import type { PartitionAssignment, RecoveryNotice } from './messages.js'
import { decodeRefusal, encodeRefusal, type RefusalKind } from './outcome.js'
import { acknowledge, type LaneTable, snapshotLanes } from './settlement.js'
import type { WatermarkPublisher } from './watermark-publisher.js'
import type { WriterLane } from './writer-lane.js'

export interface PartitionWriterContext {
  memory: SharedMemory
  writer: number
  fs: FileSystem
  lanes: LaneTable
  /** The writer's object for a lane, made on first use. */
  laneOf: (lane: number) => WriterLane
  onRolled: (slot: number, segment: RolledSegment) => void
  /** The partition's files were cut: what the sync thread knows of them is over. */
  onPoisoned: (assignment: PartitionAssignment) => void
  /** Tells the host. */
  onRecovered: (notice: RecoveryNotice) => void
  count: (counter: number, by: number) => void
  watermarks: WatermarkPublisher
}

/** Base offsets of batches that a dead writer may not have taken out of their lanes, by producer and first sequence. */
type FoundBatches = Map<number, Map<number, number>>

/**
 * One partition in the hands of its one writer thread: takes batches out of lanes, gives them offsets, writes them, and
 * lets lanes go on. Acknowledging is the business of whoever holds the partition's sync state (see `settle`).
 *
 * Order of a pass, which a restarted writer relies on: bytes are in the file, then lanes are released, then the written
 * point moves. Whatever is behind the point may or may not have left its lane; `resumeLanes` finds out which.
 */
export class PartitionWriter {
  readonly slot: number
  readonly assignment: PartitionAssignment
  /** A sync is needed before what was written is acknowledged. */
  syncNeeded = false
  unsyncedBytes = 0
  isDirty = false
  #log: PartitionLog | undefined
  #failure: number | undefined
  /** Why the last attempt to begin a segment failed. */
  #openError: unknown
  #rolledCount = 0
  readonly #context: PartitionWriterContext
  readonly #region: Region
  readonly #at: number
  readonly #level: number
  #views: Uint8Array[] = []
  #spanAt = -1
  #spanEnd = -1
  #stagedBytes = 0
  readonly #touched = new Set<WriterLane>()

  constructor(context: PartitionWriterContext, assignment: PartitionAssignment) {
    this.#context = context
    this.assignment = assignment
    this.slot = assignment.slot
    this.#region = context.memory.arena
    this.#at = partitionAt(assignment.slot)
    this.#level = durabilityLevel(assignment.durability)
  }

  /** Recovers the partition's files. `resume`: a writer of this partition died in this process. */
  open(resume: boolean): void {
    const { memory } = this.#context
    if (resume && this.#isCutWanted) {
      // The dead writer had not come to the end of a failure: what it had left to refuse is refused first.
      this.hold()
      this.poisonHeld('sync', this.syncError)
      this.letGo()
      return
    }
    const found: FoundBatches = new Map()
    const knownGood = resume ? this.#written : undefined
    const log = this.#openLog(knownGood, !resume, (region, at) => {
      const producer = batchProducerId(region, at)
      let offsets = found.get(producer)
      if (offsets === undefined) {
        offsets = new Map()
        found.set(producer, offsets)
      }
      offsets.set(batchSequenceFirst(region, at), batchBaseOffset(region, at))
    })
    this.#log = log
    if (resume) this.#resumeLanes(found)
    const firstAt = (this.#at + PARTITION_FIRST_OFFSET_AT) >>> 1
    // What was forgotten while the dead writer lived stays so. The host moves it on only after this, or beside a successor.
    if (!resume) Atomics.store(memory.wide, firstAt, BigInt(log.offsetFirst))
    this.#moveWritten()
    this.hold()
    this.#acknowledgeAll()
    this.letGo()
  }

  #openLog(
    knownGood: KnownGood | undefined,
    tidy: boolean,
    onFound?: (region: Region, at: number) => void,
  ): PartitionLog {
    const { fs, onRolled, onRecovered, memory } = this.#context
    const { topic, directory, partition, segmentBytes, segmentEntries, recovery, producers } = this.assignment
    const epoch = Atomics.load(memory.words, this.#at + PARTITION_EPOCH_AT)
    const log = PartitionLog.open({
      fs,
      directory,
      partition,
      segmentBytes,
      segmentEntries,
      recovery,
      now: Date.now,
      knownGood,
      tidy,
      leaseEpoch: epoch === 0 ? undefined : epoch + 1,
      onRecovered: knownGood && onFound,
      producersSince: producers?.since,
      onRolled: (segment) => {
        this.#rolledCount++
        onRolled(this.slot, segment)
      },
    })
    const { cutBytes, isProgressLost: producersLost } = log
    if (cutBytes > 0 || producersLost) onRecovered({ type: 'recovered', topic, partition, cutBytes, producersLost })
    for (const [id, producerEpoch] of producers?.epochs ?? []) log.producers.fence(id, producerEpoch)
    Atomics.store(memory.words, this.#at + PARTITION_EPOCH_AT, log.leaseEpoch)
    return log
  }

  /** Whether full segments wait to be sealed: then a sync of the open one alone would promise too much. */
  get hasUnsealed(): boolean {
    return Atomics.load(this.#context.memory.words, this.#at + PARTITION_SEALED_AT) !== this.#rolledCount
  }

  /**
   * Takes what the lane has published, up to a share of its ring: a pass that took all of a full ring would have its
   * producer wait for the whole write, and then wait for the producer itself. Returns whether the lane may have more.
   */
  take(lane: WriterLane): boolean {
    if (!lane.reader.look()) return false
    if (this.#log === undefined && !this.isDirty) this.#tryAgain()
    this.isDirty = true
    this.#touched.add(lane)
    const start = lane.reader.cursor
    while (((lane.reader.cursor - start) | 0) < lane.passUnits) {
      const at = lane.reader.next()
      if (at < 0) return false
      const batchAt = lane.takeReference(at)
      if (batchAt === OWN_MEMORY) this.#stage(lane, 0, lane.takeLarge())
      else this.#stage(lane, batchAt, this.#region)
    }
    return true
  }

  /** `region` is the arena, or the batch's own memory. */
  #stage(lane: WriterLane, at: number, region: Region): void {
    const log = this.#log
    if (log === undefined) {
      lane.setOutcome(this.#failure ?? encodeRefusal('writer'))
      return
    }
    const length = batchLength(region, at)
    const recordCount = batchRecordCount(region, at)
    if (isBatchOfNamed(region, at) && !this.#admits(log, lane, region, at, recordCount)) return
    try {
      if (!log.fits(length, recordCount)) {
        if (!this.#writeStaged()) return this.#stage(lane, at, region)
        log.roll()
      }
      const baseOffset = log.offsetNext
      log.stage(region, at)
      lane.setOutcome(baseOffset)
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') {
        // An attempt that failed could not even take its file away: that is in the way until the files are cut.
        this.poison('open', this.#openError ?? error)
        return this.#stage(lane, at, region)
      }
      this.#openError = error
      // The next segment could not be made: nothing was written for this batch, and nothing before it is in doubt.
      lane.setOutcome(encodeRefusal('open', error))
      return
    }
    if (region !== this.#region) {
      this.#endSpan()
      this.#views.push(region.u8.subarray(at, at + length))
    } else {
      if (this.#spanEnd !== at) {
        this.#endSpan()
        this.#spanAt = at
      }
      this.#spanEnd = at + length
    }
    this.#stagedBytes += length
    this.#context.count(COUNTER_RECORDS, recordCount)
    this.#context.count(COUNTER_BATCHES, 1)
    if (this.#level >= LEVEL_DISK || batchDurability(region, at) >= LEVEL_DISK) this.syncNeeded = true
  }

  /** Whether a named producer's batch is to be written; otherwise its outcome is said: it is there, or is refused. */
  #admits(log: PartitionLog, lane: WriterLane, region: Region, at: number, recordCount: number): boolean {
    const answer = log.producers.check(
      batchProducerId(region, at),
      batchProducerEpoch(region, at),
      batchSequenceFirst(region, at),
      recordCount,
    )
    if (answer === ADMIT) return true
    // What is there is acknowledged like any other: as soon as the batch with that offset is.
    lane.setOutcome(answer >= 0 ? answer : encodeRefusal(answer === FENCED ? 'fenced' : 'sequence'))
    return false
  }

  /** Takes nothing of the producer's older epochs any more. Returns the last sequence that was accepted. */
  openProducer(producerId: number, epoch: number, since: number): number {
    if (this.#log === undefined) this.#tryAgain()
    const log = this.#log
    if (log === undefined) throw decodeRefusal(this.#failure ?? encodeRefusal('writer'), this.assignment.topic)
    const { assignment } = this
    assignment.producers ??= { since, epochs: new Map() }
    assignment.producers.epochs.set(producerId, epoch)
    log.producers.fence(producerId, epoch)
    return log.producers.lastSequence(producerId)
  }

  #endSpan(): void {
    if (this.#spanAt >= 0) this.#views.push(this.#region.u8.subarray(this.#spanAt, this.#spanEnd))
    this.#spanAt = -1
    this.#spanEnd = -1
  }

  /** Writes what is staged. Returns false where that failed; then everything unacknowledged has been refused. */
  #writeStaged(): boolean {
    this.#endSpan()
    if (this.#views.length === 0) return true
    const views = this.#views
    this.#views = []
    const bytes = this.#stagedBytes
    this.#stagedBytes = 0
    try {
      this.#log!.writeStaged(views)
    } catch (error) {
      this.poison('write', error)
      return false
    }
    this.unsyncedBytes += bytes
    this.#context.count(COUNTER_BYTES, bytes)
    this.#context.count(COUNTER_WRITES, 1)
    return true
  }

  /** Tells other processes of another first offset, where the host wants that. While the sync thread holds the partition, that
   *  one asks for it once more when it lets go: nothing waits for it. */
  maybePublish(): void {
    const { memory, watermarks } = this.#context
    const wantedAt = this.#at + PARTITION_PUBLISH_WANTED_AT
    if (Atomics.load(memory.words, wantedAt) === 0 || !this.tryHold()) return
    Atomics.store(memory.words, wantedAt, 0)
    watermarks.publish(this.slot, this.#durable)
    this.letGo()
  }

  /** Whether the host wants the open segment ended; asked once for each time that it does. */
  get isRollWanted(): boolean {
    return Atomics.exchange(this.#context.memory.words, this.#at + PARTITION_ROLL_WANTED_AT, 0) === 1
  }

  /** Ends the open segment between two passes. The sync state is held. Returns whether another one is open now. */
  roll(): boolean {
    const log = this.#log
    if (log === undefined || log.offsetNext === log.openBaseOffset) return false
    try {
      log.roll()
    } catch (error) {
      // The next one could not be made: the next batch tries again.
      this.#openError = error
    }
    this.#moveWritten()
    return true
  }

  /** Ends a pass: writes, lets the lanes go on, and moves the written point. */
  writeOut(): void {
    this.isDirty = false
    this.#writeStaged()
    this.#releaseTouched()
    this.#moveWritten()
  }

  #releaseTouched(): void {
    for (const lane of this.#touched) lane.release()
    this.#touched.clear()
  }

  get #written(): Point {
    return this.#context.memory.readPoint(this.#at + PARTITION_WRITTEN_SELECT_AT, this.#at + PARTITION_WRITTEN_AT)
  }

  get #durable(): Point {
    return this.#context.memory.readPoint(this.#at + PARTITION_DURABLE_SELECT_AT, this.#at + PARTITION_DURABLE_AT)
  }

  #moveWritten(): void {
    const log = this.#log
    const { memory } = this.#context
    const selectAt = this.#at + PARTITION_WRITTEN_SELECT_AT
    if (log === undefined) {
      // What could not be cut is refused all the same: the sync thread, which looks at any time, must not find it here.
      const { baseOffset, position, offset } = this.#durable
      memory.writePoint(selectAt, this.#at + PARTITION_WRITTEN_AT, baseOffset, position, offset)
      return
    }
    memory.writePoint(
      selectAt,
      this.#at + PARTITION_WRITTEN_AT,
      log.openBaseOffset,
      log.positionWritten,
      log.offsetNext,
    )
  }

  /** Whether this thread may sync and acknowledge now. Otherwise the sync thread does, and looks again when it is done. */
  tryHold(): boolean {
    const { words } = this.#context.memory
    return Atomics.compareExchange(words, this.#at + PARTITION_SYNC_STATE_AT, SYNC_IDLE, SYNC_HELD) === SYNC_IDLE
  }

  /** Hands the held sync state back. */
  letGo(): void {
    const { words } = this.#context.memory
    Atomics.store(words, this.#at + PARTITION_SYNC_STATE_AT, SYNC_IDLE)
    notifyAll(words, this.#at + PARTITION_SYNC_STATE_AT)
  }

  /** Waits until the sync thread is done with the partition, and holds it. Returns false where its sync has failed. */
  hold(): boolean {
    const { words } = this.#context.memory
    const at = this.#at + PARTITION_SYNC_STATE_AT
    while (!this.tryHold()) {
      if (Atomics.compareExchange(words, at, SYNC_FAILED, SYNC_HELD) === SYNC_FAILED) return false
      blockWhile(words, at, SYNC_HELD)
    }
    return true
  }

  /** What the sync thread's failed call said. */
  get syncError(): { code: string } {
    const errno = this.#context.memory.words[this.#at + PARTITION_SYNC_ERROR_AT]
    return { code: getSystemErrorName(-(errno || constants.errno.EIO)) }
  }

  get #isCutWanted(): boolean {
    return Atomics.load(this.#context.memory.words, this.#at + PARTITION_CUT_WANTED_AT) === 1
  }

  get hasSyncFailed(): boolean {
    return Atomics.load(this.#context.memory.words, this.#at + PARTITION_SYNC_STATE_AT) === SYNC_FAILED
  }

  /** Syncs, if it is needed, and acknowledges all that is written. The sync state is held, and given back here. */
  syncAndAcknowledge(): void {
    if (this.syncNeeded) {
      try {
        this.#log?.sync()
        this.#context.count(COUNTER_SYNCS_OWN, 1)
      } catch (error) {
        this.poisonHeld('sync', error)
        this.letGo()
        return
      }
    }
    this.syncNeeded = false
    this.unsyncedBytes = 0
    this.#acknowledgeAll()
    this.letGo()
  }

  #acknowledgeAll(): void {
    const { memory, writer, lanes, watermarks } = this.#context
    const snapshot = snapshotLanes(memory, lanes.of(this.slot))
    const point = this.#log === undefined ? this.#durable : this.#written
    watermarks.publish(this.slot, point)
    acknowledge(memory, writer, this.slot, snapshot, point)
    this.noteAcknowledged()
  }

  /** Takes over into the stamps what was acknowledged, here or in the sync thread. */
  noteAcknowledged(): void {
    if (this.#log === undefined) return
    const { memory } = this.#context
    const offset = memory.readPointOffset(this.slot, PARTITION_DURABLE_SELECT_AT, PARTITION_DURABLE_AT)
    if (offset > this.#log.acknowledgedOffset) this.#log.acknowledgedOffset = offset
  }

  /** After a failed write or sync: see `docs/durability.md`. */
  poison(kind: RefusalKind, error: unknown): void {
    this.hold()
    this.poisonHeld(kind, error)
    this.letGo()
  }

  /**
   * Refuses all that is not acknowledged, takes it out of the files, and goes on in a new segment. Where the files cannot
   * even be cut, the partition takes nothing until they can: a reader or a later open must not find what was refused.
   * The sync state is held.
   */
  poisonHeld(kind: RefusalKind, error: unknown): void {
    const { memory, lanes, laneOf } = this.#context
    const { words } = memory
    // First of all, for a successor that finds the work half done.
    words[this.#at + PARTITION_SYNC_ERROR_AT] =
      (constants.errno as Record<string, number>)[systemErrorCode(error)] ?? constants.errno.EIO
    Atomics.store(words, this.#at + PARTITION_CUT_WANTED_AT, 1)
    const refusal = encodeRefusal(kind, error)
    this.#views = []
    this.#spanAt = -1
    this.#spanEnd = -1
    this.#stagedBytes = 0
    const durable = this.#durable.offset
    for (const id of lanes.of(this.slot)) {
      laneOf(id).refuseFrom(Atomics.load(memory.words, laneAt(id) + LANE_SETTLED_AT), refusal, durable)
    }
    this.#failure = refusal
    this.#cutAndOpen()
    this.#acknowledgeAll()
  }

  /** A failed disk may be well again: the partition takes what comes as soon as its files can be cut. */
  #tryAgain(): void {
    this.hold()
    this.#cutAndOpen()
    this.letGo()
  }

  /** Brings the files back to what is acknowledged, and opens them. Without effect where that fails. */
  #cutAndOpen(): void {
    const { memory, fs } = this.#context
    const log = this.#log
    this.#log = undefined
    let isCut = false
    const busyAt = this.#at + PARTITION_SYNC_BUSY_AT
    while (Atomics.load(memory.words, busyAt) === 1) blockWhile(memory.words, busyAt, 1)
    try {
      log?.abandon()
      cutPartition(fs, this.assignment.directory, this.#durable, Date.now())
      this.#log = this.#openLog(undefined, false)
      isCut = true
    } catch {
      // `#failure` says what began it.
    }
    this.#rolledCount = Atomics.load(memory.words, this.#at + PARTITION_SEALED_AT)
    this.syncNeeded = false
    this.unsyncedBytes = 0
    this.#moveWritten()
    this.#context.onPoisoned(this.assignment)
    // Last: a successor that finds it set cuts again, and one that does not finds the written point within the file.
    if (isCut) Atomics.store(memory.words, this.#at + PARTITION_CUT_WANTED_AT, 0)
  }

  /**
   * Walks over those batches at the head of each lane that the dead writer had put into the file already, so that they
   * are there once.
   */
  #resumeLanes(found: FoundBatches): void {
    const { lanes, laneOf } = this.#context
    for (const id of lanes.of(this.slot)) {
      const lane = laneOf(id)
      lane.resume(this.#region, (producerId, sequenceFirst) => found.get(producerId)?.get(sequenceFirst))
    }
  }

  /** Asks for a last sync where the topic's durability has one outstanding. */
  requireSyncAtClose(): void {
    if (typeof this.assignment.durability === 'object') this.syncNeeded = true
  }

  /** Writes no more: gives back what is reserved ahead and closes the files. */
  close(): void {
    if (this.#log === undefined) this.#tryAgain()
    this.#log?.close()
    this.#log = undefined
  }
}
