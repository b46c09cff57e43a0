import {
  type BatchCheck,
  batchAcknowledgedOffset,
  batchBaseOffset,
  batchLength,
  batchMagic,
  batchRecordCount,
  batchSegmentId,
  checkBatch,
} from '../format/batch.js'
import { BATCH_HEADER_BYTES, BATCH_MAGIC } from '../format/layout.js'
import { Region } from '../format/region.js'
import { READ_CHUNK_BYTES } from '../limits.js'
import type { OpenFile } from '../storage/file-system.js'

/** Why a scan could not go on at a byte. `wrong-offset` and `foreign`: a sound batch that does not belong there. */
export type DamageReason = Exclude<BatchCheck, 'sound' | 'zeros'> | 'wrong-offset' | 'foreign' | 'after-zeros'

export interface Damage {
  position: number
  reason: DamageReason
  /** Offset that the damaged batch would have begun with. */
  offset: number
}

export interface ScanResult {
  /** Where the unbroken run of whole batches ends, as a byte and as an offset. */
  position: number
  offsetNext: number
  /** Undefined: behind the run there is nothing but the file's end or zeros. */
  damage?: Damage
  /** Whole batches of this segment behind the damage, and the highest offset that any of them knew as acknowledged. */
  later: { batchCount: number; positionFirst: number; offsetFirst: number; acknowledgedOffset: number }
}

export interface ScanOptions {
  file: OpenFile
  segmentId: number
  /** Byte of the first batch to look at, and the offset that it must begin with. */
  position: number
  offset: number
  /** Called for each batch of the unbroken run, in order; the region is valid during the call only. */
  onBatch?: (region: Region, at: number, position: number) => void
  /** Called for whole batches behind damage. */
  onLaterBatch?: (region: Region, at: number, position: number) => void
}

/**
 * Reads a segment from a known-good point to its end and says how far it is whole. Changes nothing: what to do about
 * damage is `recovery.ts`' decision.
 */
export function scanSegment(options: ScanOptions): ScanResult {
  const { file, segmentId } = options
  const window = new ScanWindow(file)
  const result: ScanResult = {
    position: options.position,
    offsetNext: options.offset,
    later: { batchCount: 0, positionFirst: -1, offsetFirst: -1, acknowledgedOffset: 0 },
  }
  for (;;) {
    const check = window.checkAt(result.position)
    if (check === 'zeros') {
      const rest = window.firstNonZeroAfter(result.position)
      if (rest === undefined) return result
      result.damage = { position: result.position, reason: 'after-zeros', offset: result.offsetNext }
      break
    }
    const { region, at } = window
    if (check !== 'sound') {
      result.damage = { position: result.position, reason: check, offset: result.offsetNext }
      break
    }
    if (batchSegmentId(region, at) !== segmentId || batchBaseOffset(region, at) !== result.offsetNext) {
      const reason = batchSegmentId(region, at) === segmentId ? 'wrong-offset' : 'foreign'
      result.damage = { position: result.position, reason, offset: result.offsetNext }
      break
    }
    options.onBatch?.(region, at, result.position)
    result.offsetNext += batchRecordCount(region, at)
    result.position += batchLength(region, at)
  }
  scanLater(window, result, options)
  return result
}

/** Looks at every aligned byte behind the damage for a whole batch of the same segment. */
function scanLater(window: ScanWindow, result: ScanResult, options: ScanOptions): void {
  const { later } = result
  let position = result.position + 8
  for (;;) {
    const found = window.findMagic(position)
    if (found === undefined) return
    position = found
    const sound = window.checkAt(position) === 'sound'
    const { region, at } = window
    if (!sound || batchSegmentId(region, at) !== options.segmentId || batchBaseOffset(region, at) < result.offsetNext) {
      position += 8
      continue
    }
    if (later.batchCount === 0) {
      later.positionFirst = position
      later.offsetFirst = batchBaseOffset(region, at)
    }
    later.batchCount++
    later.acknowledgedOffset = Math.max(later.acknowledgedOffset, batchAcknowledgedOffset(region, at))
    options.onLaterBatch?.(region, at, position)
    position += batchLength(region, at)
  }
}

/** A part of the file in memory, moved and widened as the scan asks. `region` and `at` are where `checkAt` looked. */
class ScanWindow {
  region = Region.allocate(READ_CHUNK_BYTES)
  at = 0
  readonly #file: OpenFile
  #position = 0
  #bytes = 0

  constructor(file: OpenFile) {
    this.#file = file
  }

  /** Checks what stands at `position`, having made sure that all of it is in memory. */
  checkAt(position: number): BatchCheck {
    this.#need(position, BATCH_HEADER_BYTES)
    let check = checkBatch(this.region, this.at, this.#available)
    if (check === 'torn' && this.#available >= BATCH_HEADER_BYTES) {
      this.#need(position, batchLength(this.region, this.at))
      check = checkBatch(this.region, this.at, this.#available)
    }
    return check
  }

  /** First aligned position from `from` on where a batch may begin. */
  findMagic(from: number): number | undefined {
    for (let position = from; ; ) {
      this.#need(position, BATCH_HEADER_BYTES)
      if (this.#available < BATCH_HEADER_BYTES) return undefined
      const last = this.at + this.#available - BATCH_HEADER_BYTES
      for (let at = this.at; at <= last; at += 8) {
        if (batchMagic(this.region, at) === BATCH_MAGIC) return position + (at - this.at)
      }
      position += last - this.at + 8 - ((last - this.at) % 8)
    }
  }

  firstNonZeroAfter(from: number): number | undefined {
    for (let position = from; ; ) {
      this.#need(position, 1)
      if (this.#available === 0) return undefined
      for (let at = this.at; at < this.at + this.#available; at++) {
        if (this.region.u8[at] !== 0) return position + (at - this.at)
      }
      position += this.#available
    }
  }

  get #available(): number {
    return Math.max(this.#position + this.#bytes - (this.#position + this.at), 0)
  }

  /** Brings [position, position + bytes) into memory, as far as the file has it, and points `at` there. */
  #need(position: number, bytes: number): void {
    if (position >= this.#position && position + bytes <= this.#position + this.#bytes) {
      this.at = position - this.#position
      return
    }
    if (bytes > this.region.byteLength) this.region = Region.allocate(bytes)
    this.#position = position
    this.#bytes = this.#file.read(this.region.u8, 0, this.region.byteLength, position)
    this.at = 0
  }
}
