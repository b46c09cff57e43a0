import {
  batchBaseOffset,
  batchChecksum,
  batchEpoch,
  batchLength,
  batchRecordCount,
  batchTimestampFirst,
  batchTimestampMax,
} from '../format/batch.js'
import { digestWord } from '../format/checksum.js'
import { INDEX_ENTRY_NUMBERS, type IndexEntries, type SegmentIndex } from '../format/index-file.js'
import type { Region } from '../format/region.js'
import { INDEX_INTERVAL_BYTES } from '../limits.js'

/** What of a segment its batches do not say. */
export interface SealedSegment {
  segmentId: number
  baseOffset: number
  dataBytes: number
  sealedMs: number
  generation?: number
}

/**
 * Grows a segment's index batch by batch, as they are stamped or scanned. Pure.
 *
 * Invariants: `entries` is ascending in offset and position; two neighbours are at least `INDEX_INTERVAL_BYTES` apart,
 * the first is the first batch.
 */
export class IndexBuilder {
  recordCount = 0
  batchCount = 0
  timestampFirst = 0
  timestampMax = 0
  epochLast = 0
  digest = 0
  #entries = new Float64Array(64 * INDEX_ENTRY_NUMBERS)
  #entryNumbers = 0
  #entryPositionNext = 0

  /** Takes the batch at `at` of `region`, which begins at `position` of the segment's file. */
  add(region: Region, at: number, position: number): void {
    if (position >= this.#entryPositionNext) this.#addEntry(batchBaseOffset(region, at), position)
    const first = batchTimestampFirst(region, at)
    const max = batchTimestampMax(region, at)
    if (this.batchCount === 0 || first < this.timestampFirst) this.timestampFirst = first
    if (this.batchCount === 0 || max > this.timestampMax) this.timestampMax = max
    this.batchCount++
    this.recordCount += batchRecordCount(region, at)
    this.epochLast = batchEpoch(region, at)
    this.digest = digestWord(this.digest, batchChecksum(region, at))
    if (position >= this.#entryPositionNext)
      this.#entryPositionNext = position + Math.max(INDEX_INTERVAL_BYTES, batchLength(region, at))
  }

  #addEntry(offset: number, position: number): void {
    if (this.#entryNumbers === this.#entries.length) {
      const larger = new Float64Array(this.#entries.length * 2)
      larger.set(this.#entries)
      this.#entries = larger
    }
    this.#entries[this.#entryNumbers] = offset
    this.#entries[this.#entryNumbers + 1] = position
    this.#entries[this.#entryNumbers + 2] = this.timestampMax
    this.#entryNumbers += INDEX_ENTRY_NUMBERS
  }

  /** The index of all that was added; the entries are a copy. */
  finish({ generation, ...segment }: SealedSegment): SegmentIndex {
    return {
      ...segment,
      ...(generation !== undefined && { generation }),
      recordCount: this.recordCount,
      batchCount: this.batchCount,
      timestampFirst: this.timestampFirst,
      timestampMax: this.timestampMax,
      epochLast: this.epochLast,
      digest: this.digest,
      entries: this.#entries.slice(0, this.#entryNumbers),
    }
  }
}

/** A batch that an index names. */
export interface IndexedBatch {
  offset: number
  position: number
}

/** The last indexed batch whose base offset is at most `offset`; undefined where there is none. */
export function findOffset(entries: IndexEntries, offset: number): IndexedBatch | undefined {
  let low = 0
  let high = entries.length / INDEX_ENTRY_NUMBERS
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle * INDEX_ENTRY_NUMBERS] <= offset) low = middle + 1
    else high = middle
  }
  return low === 0 ? undefined : entryAt(entries, low - 1)
}

/** The last indexed batch before which every record is earlier than `timestampMs`. */
export function findTimestamp(entries: IndexEntries, timestampMs: number): IndexedBatch | undefined {
  let low = 0
  let high = entries.length / INDEX_ENTRY_NUMBERS
  while (low < high) {
    const middle = (low + high) >>> 1
    if (middle === 0 || entries[middle * INDEX_ENTRY_NUMBERS + 2] < timestampMs) low = middle + 1
    else high = middle
  }
  return low === 0 ? undefined : entryAt(entries, low - 1)
}

function entryAt(entries: IndexEntries, entry: number): IndexedBatch {
  return { offset: entries[entry * INDEX_ENTRY_NUMBERS], position: entries[entry * INDEX_ENTRY_NUMBERS + 1] }
}
