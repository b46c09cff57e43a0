import fs from 'node:fs'
import { encodeWatermark, encodeWatermarkKey, Region, WATERMARK_BYTES, type Watermark } from '@walrus-log/core'
import { PARTITION_EPOCH_AT, PARTITION_FIRST_OFFSET_AT, partitionAt } from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'

/** Where a partition's entry stands in the namespace's file of watermarks. */
export interface WatermarkPlace {
  file: string
  /** Byte of the entry. */
  at: number
  /** Names the partition in it. */
  key: string
  /** This opening of the log. */
  opening: number
}

interface Entry extends Watermark {
  region: Region
  place: WatermarkPlace
}

/**
 * Tells other processes how far partitions are acknowledged: one small `pwrite` each time that this moves, none else.
 * A writer and its sync thread have one each; who holds the partition's sync state calls it, before anybody in this
 * process is told, so that whoever opens the log after an acknowledgement finds the record.
 *
 * It goes past the `FileSystem` on purpose: nothing that happens here may be taken for a failure of the log's own files.
 * What could not be written, readers in other processes see later.
 */
export class WatermarkPublisher {
  readonly #memory: SharedMemory
  readonly #entries = new Map<number, Entry>()
  #descriptor: number | undefined

  constructor(memory: SharedMemory) {
    this.#memory = memory
  }

  add(slot: number, place: WatermarkPlace): void {
    const region = Region.allocate(WATERMARK_BYTES)
    encodeWatermarkKey(region, place.key)
    const { opening } = place
    const entry = { offset: -1, baseOffset: 0, position: 0, offsetFirst: 0, leaseEpoch: 0, opening, region, place }
    this.#entries.set(slot, entry)
  }

  remove(slot: number): void {
    this.#entries.delete(slot)
  }

  /** All before `point` is acknowledged, or is about to be. */
  publish(slot: number, point: Point): void {
    const entry = this.#entries.get(slot)
    if (entry === undefined) return
    const at = partitionAt(slot)
    const offsetFirst = Number(Atomics.load(this.#memory.wide, (at + PARTITION_FIRST_OFFSET_AT) >>> 1))
    const leaseEpoch = Atomics.load(this.#memory.words, at + PARTITION_EPOCH_AT)
    if (
      entry.offset === point.offset &&
      entry.baseOffset === point.baseOffset &&
      entry.offsetFirst === offsetFirst &&
      entry.leaseEpoch === leaseEpoch
    ) {
      return
    }
    entry.offset = point.offset
    entry.baseOffset = point.baseOffset
    entry.position = point.position
    entry.offsetFirst = offsetFirst
    entry.leaseEpoch = leaseEpoch
    encodeWatermark(entry.region, entry)
    try {
      this.#descriptor ??= fs.openSync(entry.place.file, 'r+')
      fs.writeSync(this.#descriptor, entry.region.u8, 0, WATERMARK_BYTES, entry.place.at)
    } catch {
      // Said again with the next commit.
      entry.offset = -1
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
