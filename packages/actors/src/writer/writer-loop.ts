import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { type FileSystem, ownWords, WalrusError, withCode } from '@walrus-log/core'
import { findsSoon, ring, sleepUntilRung } from '../lane/doorbell.js'
import { OWN_MEMORY } from '../lane/record-lane.js'
import {
  LANE_OPEN,
  LANE_STATE_AT,
  laneAt,
  PARTITION_SEALED_AT,
  PARTITION_SYNC_WANTED_AT,
  partitionAt,
  WRITER_ATTENTION_AT,
  WRITER_CONTROL_AT,
  WRITER_COUNTERS_AT,
  WRITER_DOORBELL_AT,
  WRITER_SYNC_CONTROL_AT,
  WRITER_SYNC_DOORBELL_AT,
  WRITER_SYNC_READY_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { SlotBits, setBit } from '../memory/slot-bits.js'
import { encodeError } from '../message/error-codec.js'
import type { LargeBatches } from '../message/large-batches.js'
import { LaneTable } from './lane-table.js'
import type { PartitionAssignment, SyncMessage, WriterReply, WriterRequest } from './messages.js'
import { encodeRefusal } from './outcome.js'
import { PartitionWriter, type PartitionWriterContext } from './partition-writer.js'
import { ReadyBits } from './ready-bits.js'
import { openLanes } from './settlement.js'
import { WatermarkPublisher } from './watermark-publisher.js'
import { finishMove, WriterLane } from './writer-lane.js'

/** More unsynced bytes than this, and the sync goes to the sync thread, so that writing goes on meanwhile. Below, the
 *  writer syncs itself: a single append that waits saves a hop between threads. */
const SYNC_SELF_BYTES_MAX = 256 * 1024

export interface WriterLoopOptions {
  memory: SharedMemory
  writer: number
  fs: FileSystem
  control: MessagePort
  sync: MessagePort
  largeBatches: LargeBatches
}

/**
 * The segment writer's thread: takes every published batch of every lane that leads to it, writes what belongs to one
 * partition with one call, settles, and sleeps on its doorbell when there is nothing. It never waits for a producer.
 */
export class WriterLoop {
  readonly #options: WriterLoopOptions
  readonly #memory: SharedMemory
  readonly #at: number
  readonly #partitions = new Map<number, PartitionWriter>()
  readonly #lanes = new Map<number, WriterLane>()
  readonly #context: PartitionWriterContext
  readonly #ready: ReadyBits
  /** Partitions that the sync thread or the host wants looked at. */
  readonly #attention: SlotBits
  /** Partitions that took something in this pass. */
  readonly #dirty: PartitionWriter[] = []
  /** It has synced by itself since it last slept: somebody was waiting, and may ask again. */
  #hasSynced = false
  #controlSeen = 0
  #stopId: number | undefined

  constructor(options: WriterLoopOptions) {
    const { memory, writer, fs } = options
    this.#options = options
    this.#memory = memory
    this.#at = writerAt(writer)
    this.#ready = new ReadyBits(memory, writer)
    this.#attention = new SlotBits(memory.words, this.#at + WRITER_ATTENTION_AT)
    const countersAt = (this.#at + WRITER_COUNTERS_AT) >>> 1
    this.#context = {
      memory,
      writer,
      fs,
      lanes: new LaneTable(memory, writer),
      laneOf: (lane) => this.#lane(lane),
      onRolled: (slot, segment) => this.#tellSync({ type: 'rolled', slot, segment }),
      onPoisoned: (assignment) => this.#watch(assignment),
      onRecovered: (notice) => options.control.postMessage(notice),
      watermarks: new WatermarkPublisher(memory),
      count: (counter, by) => {
        memory.doubles[countersAt + counter] += by
      },
    }
  }

  /** Goes on with the partitions of a writer that died: what it had accepted is written, once. */
  resume(assignments: readonly PartitionAssignment[]): void {
    for (const lane of openLanes(this.#memory, this.#options.writer)) finishMove(this.#memory.words, lane)
    for (const assignment of assignments.map(ownWords)) {
      Atomics.store(this.#memory.words, partitionAt(assignment.slot) + PARTITION_SEALED_AT, 0)
      this.#open(assignment, true)
      setBit(this.#memory.words, this.#at + WRITER_ATTENTION_AT, assignment.slot)
    }
    // The dead writer may have taken bits without having done what they were set for.
    for (const lane of openLanes(this.#memory, this.#options.writer)) this.#ready.set(lane)
  }

  /** Returns when the host said `stop` and all that was accepted is settled. */
  run(): void {
    const { words } = this.#memory
    const hasWork = (): boolean => this.#ready.hasAny || this.#hasControl()
    for (;;) {
      if (this.#hasControl()) this.#receive()
      const didWork = this.#pass()
      if (didWork) continue
      if (this.#stopId !== undefined) break
      if (this.#hasSynced && findsSoon(hasWork)) continue
      this.#hasSynced = false
      sleepUntilRung(words, this.#at + WRITER_DOORBELL_AT, hasWork)
    }
    for (const partition of this.#partitions.values()) this.#finish(partition)
    this.#context.watermarks.close()
    this.#tellSync({ type: 'stop' })
    this.#reply({ id: this.#stopId!, ok: true, value: 0 })
  }

  /** Takes and writes what is ready. Returns whether there was anything. */
  #pass(): boolean {
    if (!this.#ready.take(this.#takeLane)) return false
    for (const partition of this.#dirty) {
      partition.writeOut()
      this.#settle(partition)
    }
    this.#dirty.length = 0
    return true
  }

  readonly #takeLane = (id: number): void => {
    const lane = this.#lane(id)
    if (lane === undefined) return
    const partition = this.#partitions.get(lane.slot)
    if (partition === undefined) return this.#refuse(lane)
    const wasDirty = partition.isDirty
    if (partition.take(lane)) this.#ready.set(id)
    if (partition.isDirty && !wasDirty) this.#dirty.push(partition)
  }

  /** Nobody holds the partition any more: what still comes for it is refused, so that its senders do not wait. */
  #refuse(lane: WriterLane): void {
    if (!lane.look()) return
    for (let at = lane.reader.next(); at >= 0; at = lane.reader.next()) {
      if (lane.takeReference(at) === OWN_MEMORY) lane.takeLarge()
      lane.setOutcome(encodeRefusal('deleted'))
    }
    lane.release()
    lane.settleAll()
  }

  /** Undefined: the lane is not open, and its next life will set a bit of its own. */
  #lane(id: number): WriterLane | undefined {
    const known = this.#lanes.get(id)
    if (known?.isAlive) return known
    if (Atomics.load(this.#memory.words, laneAt(id) + LANE_STATE_AT) !== LANE_OPEN) return undefined
    const lane = new WriterLane(this.#memory, id, this.#options.largeBatches)
    if (!lane.isSound) return undefined
    this.#lanes.set(id, lane)
    return lane
  }

  /** Sees to it that what was written is acknowledged: here and now, or by the sync thread. */
  #settle(partition: PartitionWriter): void {
    partition.noteAcknowledged()
    if (partition.isScheduleWanted()) this.#ringSyncThread(partition.slot)
    if (!partition.shared.tryHold()) return
    if (partition.syncNeeded) {
      const isAlone = !this.#ready.hasAny && partition.unsyncedBytes <= SYNC_SELF_BYTES_MAX && !partition.hasUnsealed
      if (!isAlone) {
        this.#giveToSyncThread(partition)
        return
      }
      this.#hasSynced = true
    }
    partition.syncAndAcknowledge()
  }

  #giveToSyncThread(partition: PartitionWriter): void {
    partition.syncNeeded = false
    partition.unsyncedBytes = 0
    Atomics.store(this.#memory.words, partitionAt(partition.slot) + PARTITION_SYNC_WANTED_AT, 1)
    this.#ringSyncThread(partition.slot)
  }

  #ringSyncThread(slot: number): void {
    setBit(this.#memory.words, this.#at + WRITER_SYNC_READY_AT, slot)
    ring(this.#memory.words, this.#at + WRITER_SYNC_DOORBELL_AT)
  }

  #hasControl(): boolean {
    return Atomics.load(this.#memory.words, this.#at + WRITER_CONTROL_AT) !== this.#controlSeen
  }

  #receive(): void {
    this.#controlSeen = Atomics.load(this.#memory.words, this.#at + WRITER_CONTROL_AT)
    this.#attention.take(this.#attend)
    const { control } = this.#options
    for (let received = receiveMessageOnPort(control); received; received = receiveMessageOnPort(control)) {
      this.#handle(ownWords(received.message as WriterRequest))
    }
  }

  readonly #attend = (slot: number): void => {
    const partition = this.#partitions.get(slot)
    if (partition === undefined) return
    this.#poisonIfSyncFailed(partition)
    if (partition.shared.takeRollWanted()) this.#roll(partition)
    partition.maybePublish()
  }

  #poisonIfSyncFailed(partition: PartitionWriter): void {
    if (!partition.shared.hasSyncFailed) return
    this.#hold(partition)
    partition.shared.letGo()
  }

  /** Ends a segment for its age. The sync thread seals it at once, and acknowledges that the next one is begun. */
  #roll(partition: PartitionWriter): void {
    this.#hold(partition)
    if (partition.roll()) this.#giveToSyncThread(partition)
    else partition.shared.letGo()
  }

  /** Holds the partition's sync state, with the failure dealt with that the sync thread may have left there. */
  #hold(partition: PartitionWriter): void {
    if (!partition.shared.hold()) partition.poisonHeld('sync', partition.shared.syncError)
  }

  #handle(request: WriterRequest): void {
    if (request.type === 'stop') {
      this.#stopId = request.id
      return
    }
    try {
      this.#reply({ id: request.id, ok: true, value: this.#answer(request) })
    } catch (error) {
      this.#reply({ id: request.id, ok: false, error: encodeError(withCode(error)) })
    }
  }

  #answer(request: Exclude<WriterRequest, { type: 'stop' }>): number {
    if (request.type === 'open') return this.#open(request.assignment, false)
    return request.type === 'close' ? this.#close(request.slot) : this.#openProducer(request)
  }

  #open(assignment: PartitionAssignment, resume: boolean): number {
    const partition = new PartitionWriter(this.#context, assignment)
    this.#context.watermarks.add(assignment.slot, assignment.watermark)
    partition.open(resume)
    this.#partitions.set(assignment.slot, partition)
    this.#attention.include(assignment.slot)
    this.#watch(assignment)
    return 0
  }

  #watch({ slot, directory, durability, watermark }: PartitionAssignment): void {
    this.#tellSync({ type: 'watch', slot, directory, durability, watermark })
  }

  #close(slot: number): number {
    const partition = this.#partitions.get(slot)
    if (partition === undefined) return 0
    this.#pass()
    this.#finish(partition)
    this.#partitions.delete(slot)
    this.#context.watermarks.remove(slot)
    this.#tellSync({ type: 'release', slot })
    return 0
  }

  /**
   * Fences those who had the name before: what they have published by now is taken, what comes later is not. The answer
   * is as durable as the topic promises, so that nobody goes on behind what a crash takes back.
   */
  #openProducer({ slot, producerId, epoch, since }: Extract<WriterRequest, { type: 'producer' }>): number {
    const partition = this.#partitions.get(slot)
    if (partition === undefined)
      throw new WalrusError('UNKNOWN_TOPIC', 'the topic of the producer was deleted; create it again')
    this.#pass()
    this.#settleAll(partition, false)
    return partition.openProducer(producerId, epoch, since)
  }

  /** Settles what a partition still has in hand and closes its files. */
  #finish(partition: PartitionWriter): void {
    this.#settleAll(partition, true)
    partition.close()
  }

  #settleAll(partition: PartitionWriter, isClosing: boolean): void {
    this.#hold(partition)
    if (isClosing) partition.requireSyncAtClose()
    if (partition.syncNeeded && partition.hasUnsealed) {
      this.#giveToSyncThread(partition)
      this.#hold(partition)
    }
    partition.syncAndAcknowledge()
  }

  #tellSync(message: SyncMessage): void {
    this.#options.sync.postMessage(message)
    Atomics.add(this.#memory.words, this.#at + WRITER_SYNC_CONTROL_AT, 1)
    ring(this.#memory.words, this.#at + WRITER_SYNC_DOORBELL_AT)
  }

  #reply(reply: WriterReply): void {
    this.#options.control.postMessage(reply)
  }
}
