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
import type { SegmentGap } from '../format/gaps-file.js'
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
  /** Stretches that were leapt over: those given up before, and with `skip` those found. */
  gaps: SegmentGap[]
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
  /** Stretches that were given up before, ascending; the run goes on behind them. */
  gaps?: readonly SegmentGap[]
  /** Go on behind damage wherever a whole batch follows it, and note the gap. */
  skip?: boolean
  /**
   * Called for each batch of the unbroken run, in order; the region is valid during the call only. False ends the scan
   * before that batch.
   */
  onBatch?: (region: Region, at: number, position: number) => unknown
  /** Called for each stretch that is leapt over, in order; without a reason where it was given up before. */
  onGap?: (gap: SegmentGap, reason: DamageReason | undefined) => void
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
  const known = (options.gaps ?? []).filter(({ positionFrom }) => positionFrom >= options.position)
  const result: ScanResult = {
    position: options.position,
    offsetNext: options.offset,
    later: { batchCount: 0, positionFirst: -1, offsetFirst: -1, acknowledgedOffset: 0 },
    gaps: [],
  }
  const leap = (gap: SegmentGap, reason?: DamageReason): void => {
    options.onGap?.(gap, reason)
    result.gaps.push(gap)
    result.position = gap.positionTo
    result.offsetNext = gap.offsetTo
  }
  for (;;) {
    const gap = known[0]
    if (gap !== undefined && gap.positionFrom <= result.position) {
      known.shift()
      if (gap.positionFrom === result.position && gap.offsetFrom === result.offsetNext) leap(gap)
      continue
    }
    const reason = damageAt(window, result.position, segmentId, result.offsetNext)
    if (reason === 'end') return result
    if (reason === undefined) {
      const { region, at } = window
      if (options.onBatch?.(region, at, result.position) === false) return result
      result.offsetNext += batchRecordCount(region, at)
      result.position += batchLength(region, at)
      continue
    }
    const { position, offsetNext } = result
    // A sound batch with a later offset than expected is itself the first of those behind the damage.
    const from = reason === 'wrong-offset' ? position : position + ALIGNMENT_BYTES
    if (options.skip === true) {
      const next = findNext(window, from, segmentId, offsetNext)
      if (next !== undefined) {
        const [positionTo, offsetTo] = [next, batchBaseOffset(window.region, window.at)]
        leap({ offsetFrom: offsetNext, offsetTo, positionFrom: position, positionTo }, reason)
        continue
      }
    }
    result.damage = { position, reason, offset: offsetNext }
    result.later = findLater(window, from, segmentId, offsetNext, options.onLaterBatch)
    return result
  }
}

/** Why no batch of the run stands at `position`; `end`: nothing but zeros does; undefined: one does. */
function damageAt(
  window: ScanWindow,
  position: number,
  segmentId: number,
  offset: number,
): DamageReason | 'end' | undefined {
  const check = window.checkAt(position)
  if (check === 'zeros') return window.firstNonZeroAfter(position) === undefined ? 'end' : 'after-zeros'
  if (check !== 'sound') return check
  const { region, at } = window
  if (batchSegmentId(region, at) !== segmentId) return 'foreign'
  return batchBaseOffset(region, at) === offset ? undefined : 'wrong-offset'
}

/** Where the first whole batch of the segment stands, at or behind `position`, that begins at `offset` or later. */
export function findNextBatch(
  file: OpenFile,
  segmentId: number,
  position: number,
  offset: number,
): { position: number; offset: number } | undefined {
  const window = new ScanWindow(file)
  const found = findNext(window, position, segmentId, offset)
  return found === undefined ? undefined : { position: found, offset: batchBaseOffset(window.region, window.at) }
}

/**
 * The segment that most bytes of whole batches say they are of, in a file whose header is lost. A record may hold what
 * looks like a batch of another segment; the more is in the file, the less that can mislead.
 */
export function findSegmentId(file: OpenFile, offset: number): number | undefined {
  const bytes = new Map<number, number>()
  let most: number | undefined
  findLater(new ScanWindow(file), SEGMENT_HEADER_BYTES, undefined, offset, (region, at) => {
    const id = batchSegmentId(region, at)
    bytes.set(id, (bytes.get(id) ?? 0) + batchLength(region, at))
    if (most === undefined || bytes.get(id)! > bytes.get(most)!) most = id
  })
  return most
}

/** Where the last byte of the file that is not zero ends. */
export function contentEnd(file: OpenFile): number {
  const region = Region.allocate(READ_CHUNK_BYTES)
  for (let end = file.size(); end > 0; end -= READ_CHUNK_BYTES) {
    const from = Math.max(end - READ_CHUNK_BYTES, 0)
    const bytes = file.read(region.u8, 0, end - from, from)
    for (let at = bytes - 1; at >= 0; at--) if (region.u8[at] !== 0) return from + at + 1
  }
  return 0
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
  for (let next: number | undefined = from; ; ) {
    next = findNext(window, next, segmentId, offset)
    if (next === undefined) return later
    const position = next
    const { region, at } = window
    if (later.batchCount === 0) {
      later.positionFirst = position
      later.offsetFirst = batchBaseOffset(region, at)
    }
    later.batchCount++
    later.acknowledgedOffset = Math.max(later.acknowledgedOffset, batchAcknowledgedOffset(region, at))
    onBatch?.(region, at, position)
    next += batchLength(region, at)
  }
}

/** The first of them; `window` looks at it then. */
function findNext(window: ScanWindow, from: number, segmentId: number | undefined, offset: number): number | undefined {
  for (let position = from; ; position += ALIGNMENT_BYTES) {
    const found = window.findMagic(position)
    if (found === undefined) return undefined
    position = found
    if (window.mayBegin(position, segmentId, offset) && window.checkAt(position) === 'sound') return position
  }
}

/** A part of the file in memory, moved and widened as the scan asks. `region` and `at` are where `checkAt` looked. */
class ScanWindow {
  region: Region
  at = 0
  readonly #file: OpenFile
  #position = 0
  #bytes = 0

  constructor(file: OpenFile) {
    this.#file = file
    this.region = Region.allocate(Math.min(Math.max(file.size(), BATCH_HEADER_BYTES), READ_CHUNK_BYTES))
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
