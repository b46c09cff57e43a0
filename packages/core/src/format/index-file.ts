import { WalrusError } from '../errors.js'
import { INDEX_BYTES_MAX, OFFSET_MAX, SEGMENT_BYTES_MAX } from '../limits.js'
import { checksum } from './checksum.js'
import {
  FORMAT_VERSION,
  INDEX_BASE_OFFSET_AT,
  INDEX_BATCH_COUNT_AT,
  INDEX_CHECK_AT,
  INDEX_DATA_BYTES_AT,
  INDEX_DIGEST_AT,
  INDEX_ENTRY_BYTES,
  INDEX_ENTRY_COUNT_AT,
  INDEX_EPOCH_LAST_AT,
  INDEX_GENERATION_AT,
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
  INDEX_MAGIC_AT,
  INDEX_RECORD_COUNT_AT,
  INDEX_RESERVED_AT,
  INDEX_SEALED_MS_AT,
  INDEX_SEGMENT_ID_AT,
  INDEX_TIMESTAMP_FIRST_AT,
  INDEX_TIMESTAMP_MAX_AT,
  INDEX_VERSION_AT,
  SEGMENT_HEADER_BYTES,
} from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

/**
 * What a sealed segment's `.index` file says. It is written after the segment's bytes are on the disk and published by
 * a rename: that it exists means that the segment is whole and will never change.
 */
export interface SegmentIndex {
  segmentId: number
  baseOffset: number
  /** Offsets that the segment spans: of a compacted one, not all of them have a record. */
  recordCount: number
  batchCount: number
  /** Length of the segment file: header and batches, nothing behind. */
  dataBytes: number
  timestampFirst: number
  timestampMax: number
  sealedMs: number
  /** Lease epoch of the last batch. */
  epochLast: number
  /** CRC-32 over the checksum words of all batches in order: names the content apart from the content. */
  digest: number
  entries: IndexEntries
  /** The segment's: see `SegmentHeader`. */
  generation?: number
}

/** One entry for each `INDEX_INTERVAL_BYTES` of file, ascending: a batch's base offset, where it begins, and the
 *  latest timestamp in any batch before it. Flat: `[offset, position, timestampMax, offset, …]`. */
export type IndexEntries = Float64Array

export const INDEX_ENTRY_NUMBERS = 3

/** Returns the file's bytes, the caller's to keep. */
export function encodeIndex(index: SegmentIndex): Uint8Array {
  const entryCount = index.entries.length / INDEX_ENTRY_NUMBERS
  const bytes = INDEX_HEADER_BYTES + entryCount * INDEX_ENTRY_BYTES
  const region = Region.allocate(bytes)
  region.u32[INDEX_MAGIC_AT >>> 2] = INDEX_MAGIC
  region.u32[INDEX_VERSION_AT >>> 2] = FORMAT_VERSION
  region.u32[INDEX_SEGMENT_ID_AT >>> 2] = index.segmentId
  region.u32[INDEX_ENTRY_COUNT_AT >>> 2] = entryCount
  writeU64(region, INDEX_BASE_OFFSET_AT, index.baseOffset)
  writeU64(region, INDEX_RECORD_COUNT_AT, index.recordCount)
  writeU64(region, INDEX_DATA_BYTES_AT, index.dataBytes)
  region.f64[INDEX_TIMESTAMP_FIRST_AT >>> 3] = index.timestampFirst
  region.f64[INDEX_TIMESTAMP_MAX_AT >>> 3] = index.timestampMax
  region.f64[INDEX_SEALED_MS_AT >>> 3] = index.sealedMs
  writeU64(region, INDEX_BATCH_COUNT_AT, index.batchCount)
  region.u32[INDEX_DIGEST_AT >>> 2] = index.digest
  region.u32[INDEX_EPOCH_LAST_AT >>> 2] = index.epochLast
  region.u32[INDEX_GENERATION_AT >>> 2] = index.generation ?? 0
  for (let entry = 0; entry < entryCount; entry++) {
    const at = INDEX_HEADER_BYTES + entry * INDEX_ENTRY_BYTES
    writeU64(region, at, index.entries[entry * INDEX_ENTRY_NUMBERS])
    writeU64(region, at + 8, index.entries[entry * INDEX_ENTRY_NUMBERS + 1])
    region.f64[(at + 16) >>> 3] = index.entries[entry * INDEX_ENTRY_NUMBERS + 2]
  }
  // The check word is zero while the checksum is taken over the whole file.
  region.u32[INDEX_CHECK_AT >>> 2] = checksum(region, 0, bytes)
  return region.u8
}

/** Decodes a whole index file. Throws `FORMAT_VERSION` or `SEGMENT_CORRUPT`, naming `file`. */
export function decodeIndex(bytes: Uint8Array, file: string): SegmentIndex {
  if (bytes.length > INDEX_BYTES_MAX) throw corrupt(file, 'is not a whole index file')
  const region = Region.allocate(bytes.length)
  region.u8.set(bytes)
  const entryCount = region.u32[INDEX_ENTRY_COUNT_AT >>> 2] ?? 0
  const size = INDEX_HEADER_BYTES + entryCount * INDEX_ENTRY_BYTES
  if (bytes.length < INDEX_HEADER_BYTES || region.u32[INDEX_MAGIC_AT >>> 2] !== INDEX_MAGIC || bytes.length !== size) {
    throw corrupt(file, 'is not a whole index file')
  }
  const expected = region.u32[INDEX_CHECK_AT >>> 2]
  region.u32[INDEX_CHECK_AT >>> 2] = 0
  const found = checksum(region, 0, size)
  if (expected !== found) throw corrupt(file, `has checksum ${hex(found)}, ${hex(expected)} expected`)
  const version = region.u32[INDEX_VERSION_AT >>> 2]
  let reserved = 0
  for (let byte = INDEX_RESERVED_AT; byte < INDEX_CHECK_AT; byte++) reserved |= region.u8[byte]
  if (version !== FORMAT_VERSION || reserved !== 0) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has index format ${version}${reserved === 0 ? '' : ' with unknown fields'}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file },
    )
  }
  const entries = new Float64Array(entryCount * INDEX_ENTRY_NUMBERS)
  for (let entry = 0; entry < entryCount; entry++) {
    const at = INDEX_HEADER_BYTES + entry * INDEX_ENTRY_BYTES
    entries[entry * INDEX_ENTRY_NUMBERS] = readU64(region, at)
    entries[entry * INDEX_ENTRY_NUMBERS + 1] = readU64(region, at + 8)
    entries[entry * INDEX_ENTRY_NUMBERS + 2] = region.f64[(at + 16) >>> 3]
  }
  const generation = region.u32[INDEX_GENERATION_AT >>> 2]
  const index = {
    segmentId: region.u32[INDEX_SEGMENT_ID_AT >>> 2],
    baseOffset: readU64(region, INDEX_BASE_OFFSET_AT),
    recordCount: readU64(region, INDEX_RECORD_COUNT_AT),
    batchCount: readU64(region, INDEX_BATCH_COUNT_AT),
    dataBytes: readU64(region, INDEX_DATA_BYTES_AT),
    timestampFirst: region.f64[INDEX_TIMESTAMP_FIRST_AT >>> 3],
    timestampMax: region.f64[INDEX_TIMESTAMP_MAX_AT >>> 3],
    sealedMs: region.f64[INDEX_SEALED_MS_AT >>> 3],
    epochLast: region.u32[INDEX_EPOCH_LAST_AT >>> 2],
    digest: region.u32[INDEX_DIGEST_AT >>> 2],
    entries,
    ...(generation > 0 && { generation }),
  }
  if (!isPossible(index)) throw corrupt(file, 'names places that its segment cannot have')
  return index
}

/** Whether a reader may follow the index: all that it names lies inside the segment that it describes. */
function isPossible({ baseOffset, recordCount, dataBytes, entries }: SegmentIndex): boolean {
  if (baseOffset + recordCount > OFFSET_MAX || dataBytes < SEGMENT_HEADER_BYTES || dataBytes > SEGMENT_BYTES_MAX) {
    return false
  }
  let offset = baseOffset - 1
  let position = SEGMENT_HEADER_BYTES - 1
  for (let entry = 0; entry < entries.length; entry += INDEX_ENTRY_NUMBERS) {
    if (entries[entry] <= offset || entries[entry + 1] <= position || entries[entry + 1] % 8 !== 0) return false
    offset = entries[entry]
    position = entries[entry + 1]
  }
  return entries.length === 0 || (offset < baseOffset + recordCount && position < dataBytes)
}

function corrupt(file: string, what: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} ${what}; remove it, and the next open builds it anew from the segment's batches`,
    { file, position: 0 },
  )
}

export function hex(word: number): string {
  return `0x${(word >>> 0).toString(16).padStart(8, '0')}`
}
