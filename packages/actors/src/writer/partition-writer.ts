import {
  ADMIT,
  batchDurability,
  batchLength,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchSequenceFirst,
  FENCED,
  type FileSystem,
  isBatchOfNamed,
  type PartitionLog,
  type Region,
  type RolledSegment,
  systemErrorCode,
} from '@walrus-log/core'
import { OWN_MEMORY } from '../lane/record-lane.js'
import {
  COUNTER_BATCHES,
  COUNTER_BYTES,
  COUNTER_RECORDS,
  COUNTER_SYNCS_OWN,
  COUNTER_WRITES,
  LANE_SETTLED_AT,
  laneAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { durabilityLevel, LEVEL_DISK } from './durability.js'
import { FoundBatches } from './found-batches.js'
import type { LaneTable } from './lane-table.js'
import type { PartitionAssignment, RecoveryNotice } from './messages.js'
import { decodeRefusal, encodeRefusal, type RefusalKind } from './outcome.js'
import { PartitionFiles } from './partition-files.js'
import { acknowledge } from './settlement.js'
import { SharedPartition } from './shared-partition.js'
import { StagedWrite } from './staged-write.js'
import type { WatermarkPublisher } from './watermark-publisher.js'
import type { WriterLane } from './writer-lane.js'

export interface PartitionWriterContext {
  memory: SharedMemory
  writer: number
  fs: FileSystem
  lanes: LaneTable
  /** The writer's object for an open lane, made on first use. */
  laneOf: (lane: number) => WriterLane | undefined
  onRolled: (slot: number, segment: RolledSegment) => void
  /** The partition's files were cut: what the sync thread knows of them is over. */
  onPoisoned: (assignment: PartitionAssignment) => void
  /** Tells the host. */
  onRecovered: (notice: RecoveryNotice) => void
  count: (counter: number, by: number) => void
  watermarks: WatermarkPublisher
}

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
  readonly shared: SharedPartition
  /** A sync is needed before what was written is acknowledged. */
  syncNeeded = false
  unsyncedBytes = 0
  isDirty = false
  readonly #files: PartitionFiles
  #failure: number | undefined
  /** Why the last attempt to begin a segment failed. */
  #openError: unknown
  readonly #context: PartitionWriterContext
  readonly #region: Region
  readonly #level: number
  readonly #staged: StagedWrite
  readonly #touched = new Set<WriterLane>()

  constructor(context: PartitionWriterContext, assignment: PartitionAssignment) {
    this.#context = context
    this.assignment = assignment
    this.slot = assignment.slot
    this.shared = new SharedPartition(context.memory, assignment.slot)
    this.#files = new PartitionFiles(context.fs, assignment, this.shared, {
      onRolled: (segment) => context.onRolled(assignment.slot, segment),
      onRecovered: context.onRecovered,
    })
    this.#region = context.memory.arena
    this.#staged = new StagedWrite(this.#region)
    this.#level = durabilityLevel(assignment.durability)
  }

  /** Recovers the partition's files. `resume`: a writer of this partition died in this process. */
  open(resume: boolean): void {
    if (resume && this.shared.isCutWanted) {
      // The dead writer had not come to the end of a failure: what it had left to refuse is refused first.
      this.shared.hold()
      this.poisonHeld('sync', this.shared.syncError)
      this.shared.letGo()
      return
    }
    const found = new FoundBatches()
    const log = this.#files.open(resume ? (region, at) => found.add(region, at) : undefined)
    if (resume) this.#resumeLanes(found)
    // What was forgotten while the dead writer lived stays so. The host moves it on only after this, or beside a successor.
    if (!resume) this.shared.setFirstOffset(log.offsetFirst)
    this.#moveWritten()
    this.shared.hold()
    this.#acknowledgeAll()
    this.shared.letGo()
  }

  /** Tells other processes of another first offset, where the host wants that. While the sync thread holds the partition, that
   *  one asks for it once more when it lets go: nothing waits for it. */
  maybePublish(): void {
    if (!this.shared.isPublishWanted || !this.shared.tryHold()) return
    this.shared.setPublished()
    this.#context.watermarks.publish(this.slot, this.shared.durable)
    this.shared.letGo()
  }

  /** Whether full segments wait to be sealed: then a sync of the open one alone would promise too much. */
  get hasUnsealed(): boolean {
    return this.#files.hasUnsealed
  }

  /**
   * Takes what the lane has published, up to a share of its ring: a pass that took all of a full ring would have its
   * producer wait for the whole write, and then wait for the producer itself. Returns whether the lane may have more.
   */
  take(lane: WriterLane): boolean {
    if (!lane.look()) return false
    if (this.#files.log === undefined && !this.isDirty) this.#tryAgain()
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
    const log = this.#files.log
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
    this.#staged.add(region, at, length)
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
    if (this.#files.log === undefined) this.#tryAgain()
    const log = this.#files.log
    if (log === undefined) throw decodeRefusal(this.#failure ?? encodeRefusal('writer'), this.assignment.topic)
    const { assignment } = this
    assignment.producers ??= { since, epochs: new Map() }
    assignment.producers.epochs.set(producerId, epoch)
    log.producers.fence(producerId, epoch)
    return log.producers.lastSequence(producerId)
  }

  /** Writes what is staged. Returns false where that failed; then everything unacknowledged has been refused. */
  #writeStaged(): boolean {
    const { bytes } = this.#staged
    if (bytes === 0) return true
    try {
      this.#files.log!.writeStaged(this.#staged.take())
    } catch (error) {
      this.poison('write', error)
      return false
    }
    this.unsyncedBytes += bytes
    this.#context.count(COUNTER_BYTES, bytes)
    this.#context.count(COUNTER_WRITES, 1)
    return true
  }

  /** Ends the open segment between two passes. The sync state is held. Returns whether another one is open now. */
  roll(): boolean {
    const log = this.#files.log
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

  #moveWritten(): void {
    const log = this.#files.log
    if (log !== undefined) return this.shared.moveWritten(log.openBaseOffset, log.positionWritten, log.offsetNext)
    // What could not be cut is refused all the same: the sync thread, which looks at any time, must not find it here.
    const { baseOffset, position, offset } = this.shared.durable
    this.shared.moveWritten(baseOffset, position, offset)
  }

  /** Syncs, if it is needed, and acknowledges all that is written. The sync state is held, and given back here. */
  syncAndAcknowledge(): void {
    if (this.syncNeeded) {
      try {
        this.#files.log?.sync()
        this.#context.count(COUNTER_SYNCS_OWN, 1)
      } catch (error) {
        this.poisonHeld('sync', error)
        this.shared.letGo()
        return
      }
    }
    this.syncNeeded = false
    this.unsyncedBytes = 0
    this.#acknowledgeAll()
    this.shared.letGo()
  }

  #acknowledgeAll(): void {
    const { memory, writer, lanes, watermarks } = this.#context
    const snapshot = lanes.snapshot(this.slot)
    const point = this.#files.log === undefined ? this.shared.durable : this.shared.written
    watermarks.publish(this.slot, point)
    acknowledge(memory, writer, this.slot, snapshot, point)
    this.noteAcknowledged()
  }

  /** Takes over into the stamps what was acknowledged, here or in the sync thread. */
  noteAcknowledged(): void {
    if (this.#files.log === undefined) return
    const offset = this.shared.durableOffset
    if (offset > this.#files.log.acknowledgedOffset) this.#files.log.acknowledgedOffset = offset
  }

  /** After a failed write or sync: see `docs/durability.md`. */
  poison(kind: RefusalKind, error: unknown): void {
    this.shared.hold()
    this.poisonHeld(kind, error)
    this.shared.letGo()
  }

  /**
   * Refuses all that is not acknowledged, takes it out of the files, and goes on in a new segment. Where the files cannot
   * even be cut, the partition takes nothing until they can: a reader or a later open must not find what was refused.
   * The sync state is held.
   */
  poisonHeld(kind: RefusalKind, error: unknown): void {
    const { memory, lanes, laneOf } = this.#context
    // First of all, for a successor that finds the work half done.
    this.shared.setCutWanted(error)
    const refusal = encodeRefusal(kind, error)
    this.#staged.clear()
    const { durableOffset } = this.shared
    for (const id of lanes.of(this.slot)) {
      laneOf(id)?.refuseFrom(Atomics.load(memory.words, laneAt(id) + LANE_SETTLED_AT), refusal, durableOffset)
    }
    this.#failure = refusal
    this.#cutAndOpen()
    this.#acknowledgeAll()
  }

  /** A failed disk may be well again: the partition takes what comes as soon as its files can be cut. */
  #tryAgain(): void {
    this.shared.hold()
    this.#cutAndOpen()
    this.shared.letGo()
  }

  /** Brings the files back to what is acknowledged, and opens them. Without effect where that fails. */
  #cutAndOpen(): void {
    const isCut = this.#files.cutAndOpen()
    this.syncNeeded = false
    this.unsyncedBytes = 0
    this.#moveWritten()
    this.#context.onPoisoned(this.assignment)
    // Last: a successor that finds it set cuts again, and one that does not finds the written point within the file.
    if (isCut) this.shared.setCutDone()
  }

  /**
   * Walks over those batches at the head of each lane that the dead writer had put into the file already, so that they
   * are there once.
   */
  #resumeLanes(found: FoundBatches): void {
    const { lanes, laneOf } = this.#context
    for (const id of lanes.of(this.slot)) {
      const lane = laneOf(id)
      lane?.resume(this.#region, (producerId, sequenceFirst) => found.offsetOf(producerId, sequenceFirst))
    }
  }

  /** Whether the sync thread is to be told that something was written which the next scheduled sync is for. */
  isScheduleWanted(): boolean {
    return typeof this.assignment.durability === 'object' && this.shared.setSyncScheduled()
  }

  /** Asks for a last sync where the topic's durability has one outstanding. */
  requireSyncAtClose(): void {
    if (typeof this.assignment.durability === 'object') this.syncNeeded = true
  }

  /** Writes no more: gives back what is reserved ahead and closes the files. */
  close(): void {
    if (this.#files.log === undefined) this.#tryAgain()
    this.#files.close()
  }
}
