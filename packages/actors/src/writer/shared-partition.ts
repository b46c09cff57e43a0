import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { systemErrorCode } from '@walrus-log/core'
import { blockWhile, notifyAll } from '../lane/doorbell.js'
import {
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
  PARTITION_SYNC_SCHEDULED_AT,
  PARTITION_SYNC_STATE_AT,
  PARTITION_WRITTEN_AT,
  PARTITION_WRITTEN_SELECT_AT,
  partitionAt,
  SYNC_FAILED,
  SYNC_HELD,
  SYNC_IDLE,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'

/**
 * A partition's words in shared memory as its writer's thread uses them: the two points, who may sync and acknowledge,
 * and what is wanted of the writer. Holds nothing but where they are; `docs/memory-model.md` says why each is sound.
 */
export class SharedPartition {
  readonly #memory: SharedMemory
  readonly #slot: number
  readonly #at: number

  constructor(memory: SharedMemory, slot: number) {
    this.#memory = memory
    this.#slot = slot
    this.#at = partitionAt(slot)
  }

  get written(): Point {
    return this.#memory.readPoint(this.#at + PARTITION_WRITTEN_SELECT_AT, this.#at + PARTITION_WRITTEN_AT)
  }

  moveWritten(baseOffset: number, position: number, offset: number): void {
    const selectAt = this.#at + PARTITION_WRITTEN_SELECT_AT
    this.#memory.writePoint(selectAt, this.#at + PARTITION_WRITTEN_AT, baseOffset, position, offset)
  }

  /** The acknowledged point. */
  get durable(): Point {
    return this.#memory.readPoint(this.#at + PARTITION_DURABLE_SELECT_AT, this.#at + PARTITION_DURABLE_AT)
  }

  get durableOffset(): number {
    return this.#memory.readPointOffset(this.#slot, PARTITION_DURABLE_SELECT_AT, PARTITION_DURABLE_AT)
  }

  setFirstOffset(offset: number): void {
    Atomics.store(this.#memory.wide, (this.#at + PARTITION_FIRST_OFFSET_AT) >>> 1, BigInt(offset))
  }

  /** Lease epoch of the last writer; 0: there was none. */
  get epoch(): number {
    return Atomics.load(this.#memory.words, this.#at + PARTITION_EPOCH_AT)
  }

  set epoch(epoch: number) {
    Atomics.store(this.#memory.words, this.#at + PARTITION_EPOCH_AT, epoch)
  }

  /** How many full segments the sync thread has sealed. */
  get sealedCount(): number {
    return Atomics.load(this.#memory.words, this.#at + PARTITION_SEALED_AT)
  }

  /** Takes the host's wish that the open segment be ended. Returns whether there was one. */
  takeRollWanted(): boolean {
    return Atomics.exchange(this.#memory.words, this.#at + PARTITION_ROLL_WANTED_AT, 0) === 1
  }

  /** The host wants other processes told of another first offset. */
  get isPublishWanted(): boolean {
    return Atomics.load(this.#memory.words, this.#at + PARTITION_PUBLISH_WANTED_AT) === 1
  }

  /** Before it is read what they are told. */
  setPublished(): void {
    Atomics.store(this.#memory.words, this.#at + PARTITION_PUBLISH_WANTED_AT, 0)
  }

  /** Says that there is something for a scheduled sync. Returns whether that is news to the sync thread. */
  setSyncScheduled(): boolean {
    const { words } = this.#memory
    if (Atomics.load(words, this.#at + PARTITION_SYNC_SCHEDULED_AT) === 1) return false
    Atomics.store(words, this.#at + PARTITION_SYNC_SCHEDULED_AT, 1)
    return true
  }

  /** Whether this thread may sync and acknowledge now. Otherwise the sync thread does, and looks again when it is done. */
  tryHold(): boolean {
    const { words } = this.#memory
    return Atomics.compareExchange(words, this.#at + PARTITION_SYNC_STATE_AT, SYNC_IDLE, SYNC_HELD) === SYNC_IDLE
  }

  /** Hands the held sync state back. */
  letGo(): void {
    const { words } = this.#memory
    Atomics.store(words, this.#at + PARTITION_SYNC_STATE_AT, SYNC_IDLE)
    notifyAll(words, this.#at + PARTITION_SYNC_STATE_AT)
  }

  /** Waits until the sync thread is done with the partition, and holds it. Returns false where its sync has failed. */
  hold(): boolean {
    const { words } = this.#memory
    const at = this.#at + PARTITION_SYNC_STATE_AT
    while (!this.tryHold()) {
      if (Atomics.compareExchange(words, at, SYNC_FAILED, SYNC_HELD) === SYNC_FAILED) return false
      blockWhile(words, at, SYNC_HELD)
    }
    return true
  }

  get hasSyncFailed(): boolean {
    return Atomics.load(this.#memory.words, this.#at + PARTITION_SYNC_STATE_AT) === SYNC_FAILED
  }

  /** What the sync thread's failed call said. */
  get syncError(): { code: string } {
    const errno = this.#memory.words[this.#at + PARTITION_SYNC_ERROR_AT]
    return { code: getSystemErrorName(-(errno || constants.errno.EIO)) }
  }

  /** Says, before anything else is done about a failure, that the files may hold what is refused for it. */
  setCutWanted(error: unknown): void {
    const { words } = this.#memory
    words[this.#at + PARTITION_SYNC_ERROR_AT] =
      (constants.errno as Record<string, number>)[systemErrorCode(error)] ?? constants.errno.EIO
    Atomics.store(words, this.#at + PARTITION_CUT_WANTED_AT, 1)
  }

  get isCutWanted(): boolean {
    return Atomics.load(this.#memory.words, this.#at + PARTITION_CUT_WANTED_AT) === 1
  }

  setCutDone(): void {
    Atomics.store(this.#memory.words, this.#at + PARTITION_CUT_WANTED_AT, 0)
  }

  /** Waits until the sync thread does not work on the files. Called with the cut wanted, which keeps it from beginning. */
  waitWhileBusy(): void {
    const { words } = this.#memory
    const busyAt = this.#at + PARTITION_SYNC_BUSY_AT
    while (Atomics.load(words, busyAt) === 1) blockWhile(words, busyAt, 1)
  }
}
