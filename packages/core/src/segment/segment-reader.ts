import path from 'node:path'
import { WalrusError } from '../errors.js'
import {
  type BatchCheck,
  batchBaseOffset,
  batchChecksum,
  batchLength,
  batchRecordCount,
  batchSegmentId,
  checkBatchHeader,
} from '../format/batch.js'
import type { SegmentGap } from '../format/gaps-file.js'
import { hex, type SegmentIndex } from '../format/index-file.js'
import { BATCH_CHECKSUM_FROM, BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { identifySegment, unlessDamaged } from './gaps.js'
import { findOffset, findTimestamp, type IndexedBatch } from './index-builder.js'
import { findNextBatch } from './scan.js'
import { loadIndex } from './seal.js'
import { isCompressed, openSegmentFile } from './segment-file.js'
import { segmentBases, segmentFileName } from './segment-name.js'
import { walkHeaders } from './walk.js'

/** Where a reader stands: the segment, the byte of the batch to read next, and the offset of that batch's first record. */
export interface ReadPosition {
  baseOffset: number
  position: number
  offset: number
  /** The generation of the segment's file that the position is in: see `SegmentHeader`. */
  generation?: number
}

/** What `fill` put into the region: whole batches, one behind the other, from byte 0 up to `bytes`. */
export interface ReadFill {
  bytes: number
  /** Where to go on. */
  next: ReadPosition
  /** A batch longer than the region stands here: come again with one of at least this size. */
  bytesNeeded?: number
  /** With no bytes: what is missing between where the call began and `next`. */
  gap?: ReadGap
}

/** Why records are missing: they were damaged or lost, or were removed on purpose. */
export type GapReason = 'data-loss' | 'trimmed'

/** Offsets that a reader asked for and that are not there; `to` is exclusive. */
export interface ReadGap {
  reason: GapReason
  from: number
  to: number
}

export interface SegmentReaderOptions {
  /** Show a gap in place of what is damaged, instead of throwing `SEGMENT_CORRUPT`. */
  skip?: boolean
}

/**
 * Reads a partition's files from any thread, beside the thread that writes them. Reads only what the caller says is
 * acknowledged, and keeps one descriptor open.
 */
export class SegmentReader {
  readonly #fs: FileSystem
  readonly #directory: string
  readonly #skip: boolean
  #file: OpenFile | undefined
  #fileBase = -1
  #segmentId = 0
  #generation: number | undefined
  /** Where in that file the last fill ended. */
  #positionNext = SEGMENT_HEADER_BYTES
  /** What of the open file's segment was given up. */
  #gaps: readonly SegmentGap[] = []

  constructor(fs: FileSystem, directory: string, { skip = false }: SegmentReaderOptions = {}) {
    this.#fs = fs
    this.#directory = directory
    this.#skip = skip
  }

  /**
   * Finds where to begin to read so that `offset` is met: the indexed batch at or before it.
   * Throws `OFFSET_OUT_OF_RANGE` where no segment has it any more; with `skip`, reading then begins with a gap.
   */
  locate(offset: number): ReadPosition {
    const bases = segmentBases(this.#fs.list(this.#directory))
    let baseOffset = -1
    for (const base of bases) if (base <= offset) baseOffset = base
    if (baseOffset === -1) {
      if (this.#skip) return readPosition(offset, undefined)
      const first = bases[0] ?? 0
      throw new WalrusError(
        'OFFSET_OUT_OF_RANGE',
        `${this.#directory} begins with offset ${first}, ${offset} was asked for; read from ${first}`,
        { first, offset },
      )
    }
    const index = this.#index(baseOffset)
    return readPosition(baseOffset, index && findOffset(index.entries, offset), index?.generation)
  }

  /** Finds a position before which every record is earlier than `timestampMs`. */
  locateTimestamp(timestampMs: number): ReadPosition {
    const bases = segmentBases(this.#fs.list(this.#directory))
    for (const baseOffset of bases) {
      const index = this.#index(baseOffset)
      if (index === undefined) return readPosition(baseOffset, undefined)
      if (index.timestampMax >= timestampMs) {
        return readPosition(baseOffset, findTimestamp(index.entries, timestampMs), index.generation)
      }
    }
    return readPosition(bases.at(-1) ?? 0, undefined)
  }

  #index(baseOffset: number): SegmentIndex | undefined {
    return unlessDamaged(this.#skip, () => loadIndex(this.#fs, this.#directory, baseOffset))
  }

  /**
   * Fills `region` with whole batches from `from` on, none at or beyond `highWatermark`, which was read before the call.
   * With `verify`, each batch's checksum is checked here. An empty fill with the same `next` means that all below the
   * watermark has been read. What was given up is a `gap`, and so is damage with `skip`; else damage throws
   * `SEGMENT_CORRUPT` with file and byte. Whole batches before it are handed out first.
   */
  fill(from: ReadPosition, region: Region, highWatermark: number, verify: boolean): ReadFill {
    let { baseOffset, position, offset } = from
    let { generation } = from
    for (;;) {
      if (offset >= highWatermark) return { bytes: 0, next: { baseOffset, position, offset, generation } }
      const file = this.#openGeneration({ baseOffset, position, offset, generation })
      if (file === undefined) {
        const leap = this.#leapMissing({ baseOffset, position, offset, generation }, highWatermark)
        if (leap.gap !== undefined) return leap
        ;({ baseOffset, position, offset, generation } = leap.next)
        continue
      }
      if (generation !== this.#generation) {
        ;({ position, offset } = this.#relocate(file, { baseOffset, position, offset }))
        generation = this.#generation
      }
      const bytesWanted = this.#bytesWanted(file, region.byteLength, position)
      const available = file.read(region.u8, 0, bytesWanted, position)
      let at = 0
      let damage: string | undefined
      while (offset < highWatermark) {
        const check = checkBatchHeader(region, at, available - at)
        if (check === 'torn' || check === 'zeros') break
        damage = this.#damageOf(region, at, available - at, check, offset, verify)
        if (damage !== undefined) break
        const length = batchLength(region, at)
        if (length > available - at) break
        offset += batchRecordCount(region, at)
        at += length
      }
      if (at > 0) {
        this.#positionNext = position + at
        return { bytes: at, next: { baseOffset, position: position + at, offset, generation } }
      }
      if (damage === undefined && bytesWanted < region.byteLength) {
        // The batch goes on in the next block.
        this.#positionNext = position
        continue
      }
      if (damage === undefined) {
        const needed = batchBytesNeeded(region, available)
        if (needed > region.byteLength) {
          return { bytes: 0, next: { baseOffset, position, offset, generation }, bytesNeeded: needed }
        }
        // Below the watermark there is more, but not in this file: it was rolled, and the next one is named by the offset.
        if (offset !== baseOffset && this.#fs.exists(this.#path(offset))) {
          baseOffset = offset
          position = SEGMENT_HEADER_BYTES
          generation = undefined
          continue
        }
        damage = 'the end of the file'
      }
      const leap = this.#leapDamage({ baseOffset, position, offset, generation }, highWatermark, damage)
      if (leap.gap !== undefined) return leap
      ;({ baseOffset, position, offset, generation } = leap.next)
    }
  }

  /** Whoever goes on where he stopped takes as much as there is room for; a seek in a compressed segment reads one block. */
  #bytesWanted(file: OpenFile, room: number, position: number): number {
    if (position === this.#positionNext || !isCompressed(file)) return room
    return Math.min(file.blockEnd(position) - position, room)
  }

  /** What is wrong with the batch at `at`; undefined where nothing is, as far as it is there. */
  #damageOf(
    region: Region,
    at: number,
    available: number,
    check: BatchCheck,
    offset: number,
    verify: boolean,
  ): string | undefined {
    if (check !== 'sound') return 'no sound header'
    if (batchBaseOffset(region, at) !== offset || batchSegmentId(region, at) !== this.#segmentId) {
      return 'a batch that does not belong there'
    }
    const length = batchLength(region, at)
    if (!verify || length > available) return undefined
    const expected = batchChecksum(region, at)
    const found = region.hash(at + BATCH_CHECKSUM_FROM, at + length)
    return expected === found ? undefined : `checksum ${hex(found)}, ${hex(expected)} expected`
  }

  /** Where to go on behind damage: by what was given up before or, with `skip`, by what can be found. */
  #leapDamage(from: ReadPosition, highWatermark: number, found: string): ReadFill {
    const { baseOffset, position, offset, generation } = from
    // A gap that a watermark lay in is met again in its middle.
    const known = this.#gaps.find((gap) => {
      const isAhead = offset < gap.offsetTo || gap.offsetFrom === gap.offsetTo
      return gap.positionFrom === position && gap.offsetFrom <= offset && isAhead
    })
    if (known !== undefined) {
      const next = { baseOffset, position: known.positionTo, offset: known.offsetTo, generation }
      return leapTo(from, next, highWatermark, 'data-loss')
    }
    if (!this.#skip) throw this.#corrupt(baseOffset, position, offset, found)
    const batch = findNextBatch(this.#file!, this.#segmentId, position, offset)
    if (batch !== undefined && batch.offset < highWatermark) {
      return leapTo(from, { baseOffset, ...batch, generation }, highWatermark, 'data-loss')
    }
    const base = segmentBases(this.#fs.list(this.#directory)).find((base) => base > baseOffset && base >= offset)
    const next = base === undefined ? from : readPosition(base, undefined)
    return leapTo(from, { ...next, offset: base ?? highWatermark }, highWatermark, 'data-loss')
  }

  /** Where to go on where the segment's file is not there. */
  #leapMissing(from: ReadPosition, highWatermark: number): ReadFill {
    const bases = segmentBases(this.#fs.list(this.#directory))
    const base = bases.find((base) => base >= from.offset)
    const isTrimmed = base !== undefined && base === bases[0]
    const next = base === undefined ? { ...from, offset: highWatermark } : readPosition(base, undefined)
    return leapTo(from, next, highWatermark, isTrimmed ? 'trimmed' : 'data-loss')
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
    this.#fileBase = -1
  }

  /**
   * The segment's file, in the position's generation if that can be: where another one is open, the name may stand for
   * a newer file by now. Who comes to a segment's beginning gets that one, for what is in an older file may have been deleted
   * since, and its tombstone be gone from a later segment.
   */
  #openGeneration({ baseOffset, position, generation }: ReadPosition): OpenFile | undefined {
    if (position === SEGMENT_HEADER_BYTES) this.close()
    const file = this.#open(baseOffset)
    if (file === undefined || generation === this.#generation || position === SEGMENT_HEADER_BYTES) return file
    this.close()
    return this.#open(baseOffset)
  }

  /** Where the batch is, in the open file, that a position in another generation of it was of. */
  #relocate(file: OpenFile, { baseOffset, position, offset }: ReadPosition): { position: number; offset: number } {
    if (position === SEGMENT_HEADER_BYTES) return { position, offset }
    const index = this.#index(baseOffset)
    const entry = index?.generation === this.#generation && index ? findOffset(index.entries, offset) : undefined
    let found = { position: SEGMENT_HEADER_BYTES, offset: baseOffset, ...entry }
    const reached = walkHeaders(
      file,
      found.offset,
      offset + 1,
      (region, at, position) => {
        found = { position, offset: batchBaseOffset(region, at) }
      },
      found.position,
    )
    if (reached > offset) return found
    // Something is damaged before it.
    return { offset, position: findNextBatch(file, this.#segmentId, found.position, offset)?.position ?? file.size() }
  }

  /** The segment's file; undefined, with `skip`, where it is not there. */
  #open(baseOffset: number): OpenFile | undefined {
    if (this.#file !== undefined && this.#fileBase === baseOffset) return this.#file
    this.close()
    const name = this.#path(baseOffset)
    if (this.#skip && !this.#fs.exists(name)) return undefined
    const file = openSegmentFile(this.#fs, name, 'read')
    try {
      const identity = identifySegment(this.#fs, this.#directory, baseOffset, file, { name, skip: this.#skip })
      if (identity === undefined && !this.#skip) {
        throw this.#corrupt(baseOffset, 0, baseOffset, 'no header of that segment')
      }
      this.#segmentId = identity?.segmentId ?? 0
      this.#gaps = identity?.gaps ?? []
      this.#generation = identity?.generation
    } catch (error) {
      file.close()
      throw error
    }
    this.#file = file
    this.#fileBase = baseOffset
    this.#positionNext = SEGMENT_HEADER_BYTES
    return file
  }

  #path(baseOffset: number): string {
    return path.join(this.#directory, segmentFileName(baseOffset))
  }

  #corrupt(baseOffset: number, position: number, offset: number, found: string): WalrusError {
    const file = this.#path(baseOffset)
    return new WalrusError(
      'SEGMENT_CORRUPT',
      `${file}, batch at byte ${position} (offset ${offset}): found ${found}; restore the file from a copy, run 'walrus verify --repair', or open with recovery: 'skip' to read around it`,
      { file, position, offset },
    )
  }
}

function readPosition(baseOffset: number, batch: IndexedBatch | undefined, generation?: number): ReadPosition {
  return { baseOffset, position: SEGMENT_HEADER_BYTES, offset: baseOffset, ...batch, generation }
}

/** As far as the watermark; the rest of the gap is shown when there is more behind it. */
function leapTo(from: ReadPosition, next: ReadPosition, highWatermark: number, reason: GapReason): ReadFill {
  const to = Math.min(next.offset, highWatermark)
  // A gap that reaches beyond is looked at again from its beginning: what stands there now need not stay.
  const reached = next.offset <= highWatermark ? next : { ...from, offset: to }
  return to > from.offset ? { bytes: 0, next: reached, gap: { reason, from: from.offset, to } } : { bytes: 0, next }
}

function batchBytesNeeded(region: Region, available: number): number {
  if (available < BATCH_HEADER_BYTES || checkBatchHeader(region, 0, available) !== 'sound') return 0
  return batchLength(region, 0)
}
