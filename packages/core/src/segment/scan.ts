import {
  type BatchCheck,
  batchAcknowledgedOffset,
  batchBaseOffset,
  batchLength,
  batchMagic,
  batchRecordCount,
  batchSegmentId,
  checkBatch,
  checkBatchHeader,
} from '../format/batch.js'
import { ALIGNMENT_BYTES, BATCH_HEADER_BYTES, BATCH_MAGIC, SEGMENT_HEADER_BYTES } from '../format/layout.js'
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
  later: LaterBatches
}

/** Whole batches of a segment behind damage, and the highest offset that any of them knew as acknowledged. */
export interface LaterBatches {
  batchCount: number
  positionFirst: number
  offsetFirst: number
  acknowledgedOffset: number
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
  // A sound batch with a later offset than expected is itself the first of those behind the damage.
  const from = result.damage.reason === 'wrong-offset' ? result.position : result.position + ALIGNMENT_BYTES
  result.later = findLater(window, from, segmentId, result.offsetNext, options.onLaterBatch)
  return result
}

/**
 * Looks for whole batches in a file that cannot be read from its beginning, or is of interest only as a witness: those
 * of the segment (of any, where its header is lost) from `offset` on.
 */
export function findBatches(file: OpenFile, segmentId: number | undefined, offset: number): LaterBatches {
  return findLater(new ScanWindow(file), SEGMENT_HEADER_BYTES, segmentId, offset, undefined)
}

/** Tries every aligned byte from `from` on. The segment's id comes before the checksum of a body, so that bytes that
 *  merely look like batches cost little. */
function findLater(
  window: ScanWindow,
  from: number,
  segmentId: number | undefined,
  offset: number,
  onBatch: ScanOptions['onLaterBatch'],
): LaterBatches {
  const later: LaterBatches = { batchCount: 0, positionFirst: -1, offsetFirst: -1, acknowledgedOffset: 0 }
  for (let position = from; ; ) {
    const found = window.findMagic(position)
    if (found === undefined) return later
    position = found
    if (!window.mayBegin(position, segmentId, offset) || window.checkAt(position) !== 'sound') {
      position += ALIGNMENT_BYTES
      continue
    }
    const { region, at } = window
    if (later.batchCount === 0) {
      later.positionFirst = position
      later.offsetFirst = batchBaseOffset(region, at)
    }
    later.batchCount++
    later.acknowledgedOffset = Math.max(later.acknowledgedOffset, batchAcknowledgedOffset(region, at))
    onBatch?.(region, at, position)
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

  /** Whether a batch of that segment, at or behind that offset, seems to begin at `position`, by its header alone. */
  mayBegin(position: number, segmentId: number | undefined, offset: number): boolean {
    this.#need(position, BATCH_HEADER_BYTES)
    if (checkBatchHeader(this.region, this.at, this.#available) !== 'sound') return false
    if (segmentId !== undefined && batchSegmentId(this.region, this.at) !== segmentId) return false
    return batchBaseOffset(this.region, this.at) >= offset
  }

  /** First aligned position from `from` on where a batch may begin. */
  findMagic(from: number): number | undefined {
    for (let position = from; ; ) {
      this.#need(position, BATCH_HEADER_BYTES)
      if (this.#available < BATCH_HEADER_BYTES) return undefined
      const last = this.at + this.#available - BATCH_HEADER_BYTES
      for (let at = this.at; at <= last; at += ALIGNMENT_BYTES) {
        if (batchMagic(this.region, at) === BATCH_MAGIC) return position + (at - this.at)
      }
      // The last whole header that is in memory has been looked at: go on one aligned step behind it.
      position += last - this.at + ALIGNMENT_BYTES - ((last - this.at) % ALIGNMENT_BYTES)
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
    return Math.max(this.#bytes - this.at, 0)
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
