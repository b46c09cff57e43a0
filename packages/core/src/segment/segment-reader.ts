import path from 'node:path'
import { WalrusError } from '../errors.js'
import {
  batchBaseOffset,
  batchChecksum,
  batchLength,
  batchRecordCount,
  batchSegmentId,
  checkBatchHeader,
} from '../format/batch.js'
import { hex } from '../format/index-file.js'
import { BATCH_CHECKSUM_FROM, BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { findOffset, findTimestamp, type IndexedBatch } from './index-builder.js'
import { loadIndex, readSegmentHeader } from './seal.js'
import { segmentBases, segmentFileName } from './segment-name.js'

/** Where a reader stands: the segment, the byte of the batch to read next, and the offset of that batch's first record. */
export interface ReadPosition {
  baseOffset: number
  position: number
  offset: number
}

/** What `fill` put into the region: whole batches, one behind the other, from byte 0 up to `bytes`. */
export interface ReadFill {
  bytes: number
  /** Where to go on. */
  next: ReadPosition
  /** A batch longer than the region stands here: come again with one of at least this size. */
  bytesNeeded?: number
}

/**
 * Reads a partition's files from any thread, beside the thread that writes them. Reads only what the caller says is
 * acknowledged, and keeps one descriptor open.
 */
export class SegmentReader {
  readonly #fs: FileSystem
  readonly #directory: string
  #file: OpenFile | undefined
  #fileBase = -1
  #segmentId = 0

  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs
    this.#directory = directory
  }

  /**
   * Finds where to begin to read so that `offset` is met: the indexed batch at or before it.
   * Throws `OFFSET_OUT_OF_RANGE` where no segment has it any more.
   */
  locate(offset: number): ReadPosition {
    const bases = segmentBases(this.#fs.list(this.#directory))
    let baseOffset = -1
    for (const base of bases) if (base <= offset) baseOffset = base
    if (baseOffset === -1) {
      const first = bases[0] ?? 0
      throw new WalrusError(
        'OFFSET_OUT_OF_RANGE',
        `${this.#directory} begins with offset ${first}, ${offset} was asked for; read from ${first}`,
        { first, offset },
      )
    }
    const index = loadIndex(this.#fs, this.#directory, baseOffset)
    return readPosition(baseOffset, index && findOffset(index.entries, offset))
  }

  /** Finds a position before which every record is earlier than `timestampMs`. */
  locateTimestamp(timestampMs: number): ReadPosition {
    const bases = segmentBases(this.#fs.list(this.#directory))
    for (const baseOffset of bases) {
      const index = loadIndex(this.#fs, this.#directory, baseOffset)
      if (index === undefined) return readPosition(baseOffset, undefined)
      if (index.timestampMax >= timestampMs) return readPosition(baseOffset, findTimestamp(index.entries, timestampMs))
    }
    return readPosition(bases.at(-1) ?? 0, undefined)
  }

  /**
   * Fills `region` with whole batches from `from` on, none at or beyond `highWatermark`, which was read before the call.
   * With `verify`, each batch's checksum is checked here. An empty fill with the same `next` means that all below the
   * watermark has been read. Throws `SEGMENT_CORRUPT` with file and byte.
   */
  fill(from: ReadPosition, region: Region, highWatermark: number, verify: boolean): ReadFill {
    let { baseOffset, position, offset } = from
    for (;;) {
      if (offset >= highWatermark) return { bytes: 0, next: { baseOffset, position, offset } }
      const file = this.#open(baseOffset)
      const available = file.read(region.u8, 0, region.byteLength, position)
      let at = 0
      while (offset < highWatermark) {
        const check = checkBatchHeader(region, at, available - at)
        if (check === 'torn' || check === 'zeros') break
        if (check !== 'sound') throw this.#corrupt(baseOffset, position + at, offset, 'no sound header')
        if (batchBaseOffset(region, at) !== offset || batchSegmentId(region, at) !== this.#segmentId) {
          throw this.#corrupt(baseOffset, position + at, offset, 'a batch that does not belong there')
        }
        const length = batchLength(region, at)
        if (length > available - at) break
        if (verify) this.#verify(region, at, length, { baseOffset, position: position + at, offset })
        offset += batchRecordCount(region, at)
        at += length
      }
      if (at > 0) return { bytes: at, next: { baseOffset, position: position + at, offset } }
      const needed = batchBytesNeeded(region, available)
      if (needed > region.byteLength) return { bytes: 0, next: { baseOffset, position, offset }, bytesNeeded: needed }
      // Below the watermark there is more, but not in this file: it was rolled, and the next one is named by the offset.
      if (offset === baseOffset || !this.#fs.exists(this.#path(offset))) {
        throw this.#corrupt(baseOffset, position, offset, 'the end of the file')
      }
      baseOffset = offset
      position = SEGMENT_HEADER_BYTES
    }
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
    this.#fileBase = -1
  }

  #verify(region: Region, at: number, length: number, where: ReadPosition): void {
    const expected = batchChecksum(region, at)
    const found = region.hash(at + BATCH_CHECKSUM_FROM, at + length)
    if (expected === found) return
    const what = `checksum ${hex(found)}, ${hex(expected)} expected`
    throw this.#corrupt(where.baseOffset, where.position, where.offset, what)
  }

  #open(baseOffset: number): OpenFile {
    if (this.#file !== undefined && this.#fileBase === baseOffset) return this.#file
    this.close()
    const name = this.#path(baseOffset)
    const file = this.#fs.open(name, 'read')
    try {
      const header = readSegmentHeader(file, name)
      if (header?.baseOffset !== baseOffset) throw this.#corrupt(baseOffset, 0, baseOffset, 'no header of that segment')
      this.#segmentId = header.segmentId
    } catch (error) {
      file.close()
      throw error
    }
    this.#file = file
    this.#fileBase = baseOffset
    return file
  }

  #path(baseOffset: number): string {
    return path.join(this.#directory, segmentFileName(baseOffset))
  }

  #corrupt(baseOffset: number, position: number, offset: number, found: string): WalrusError {
    const file = this.#path(baseOffset)
    return new WalrusError(
      'SEGMENT_CORRUPT',
      `${file}, batch at byte ${position} (offset ${offset}): found ${found}; restore the file from a copy, or read on from a later offset`,
      { file, position, offset },
    )
  }
}

function readPosition(baseOffset: number, batch: IndexedBatch | undefined): ReadPosition {
  return { baseOffset, position: SEGMENT_HEADER_BYTES, offset: baseOffset, ...batch }
}

function batchBytesNeeded(region: Region, available: number): number {
  if (available < BATCH_HEADER_BYTES || checkBatchHeader(region, 0, available) !== 'sound') return 0
  return batchLength(region, 0)
}
