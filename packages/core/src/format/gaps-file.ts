import { WalrusError } from '../errors.js'
import { GAPS_MAX, OFFSET_MAX } from '../limits.js'
import { checksum } from './checksum.js'
import {
  FORMAT_VERSION,
  GAPS_BASE_OFFSET_AT,
  GAPS_CHECK_AT,
  GAPS_ENTRY_BYTES,
  GAPS_ENTRY_COUNT_AT,
  GAPS_HEADER_BYTES,
  GAPS_MAGIC,
  GAPS_MAGIC_AT,
  GAPS_RESERVED_AT,
  GAPS_SEGMENT_ID_AT,
  GAPS_VERSION_AT,
} from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

/** A stretch of a segment's file, and the offsets with it, that somebody has given up. `To` is exclusive. */
export interface SegmentGap {
  offsetFrom: number
  offsetTo: number
  positionFrom: number
  positionTo: number
}

/**
 * What a segment's `.gaps` file says: stretches that are no longer damage, but a loss that was accepted. Readers are
 * shown them, and recovery goes on behind them in every mode. Ascending, without overlap.
 */
export interface SegmentGaps {
  segmentId: number
  baseOffset: number
  gaps: SegmentGap[]
}

export const GAPS_BYTES_MAX = GAPS_HEADER_BYTES + GAPS_MAX * GAPS_ENTRY_BYTES

/** Returns the file's bytes, the caller's to keep. */
export function encodeGaps({ segmentId, baseOffset, gaps }: SegmentGaps): Uint8Array {
  const region = Region.allocate(GAPS_HEADER_BYTES + gaps.length * GAPS_ENTRY_BYTES)
  region.u32[GAPS_MAGIC_AT >>> 2] = GAPS_MAGIC
  region.u32[GAPS_VERSION_AT >>> 2] = FORMAT_VERSION
  region.u32[GAPS_SEGMENT_ID_AT >>> 2] = segmentId
  region.u32[GAPS_ENTRY_COUNT_AT >>> 2] = gaps.length
  writeU64(region, GAPS_BASE_OFFSET_AT, baseOffset)
  for (const [entry, { offsetFrom, offsetTo, positionFrom, positionTo }] of gaps.entries()) {
    const at = GAPS_HEADER_BYTES + entry * GAPS_ENTRY_BYTES
    writeU64(region, at, offsetFrom)
    writeU64(region, at + 8, offsetTo)
    writeU64(region, at + 16, positionFrom)
    writeU64(region, at + 24, positionTo)
  }
  // The check word is zero while the checksum is taken over the whole file.
  region.u32[GAPS_CHECK_AT >>> 2] = checksum(region, 0, region.byteLength)
  return region.u8
}

/** Decodes a whole gaps file. Throws `FORMAT_VERSION` or `SEGMENT_CORRUPT`, naming `file`. */
export function decodeGaps(bytes: Uint8Array, file: string): SegmentGaps {
  const region = Region.allocate(Math.min(bytes.length, GAPS_BYTES_MAX))
  region.u8.set(bytes.subarray(0, region.byteLength))
  const count = region.u32[GAPS_ENTRY_COUNT_AT >>> 2] ?? 0
  const isWhole = bytes.length === GAPS_HEADER_BYTES + count * GAPS_ENTRY_BYTES && count <= GAPS_MAX
  if (!isWhole || region.u32[GAPS_MAGIC_AT >>> 2] !== GAPS_MAGIC) throw corrupt(file, 'is not a whole gaps file')
  const expected = region.u32[GAPS_CHECK_AT >>> 2]
  region.u32[GAPS_CHECK_AT >>> 2] = 0
  if (expected !== checksum(region, 0, bytes.length)) throw corrupt(file, 'does not have the checksum that it names')
  const version = region.u32[GAPS_VERSION_AT >>> 2]
  if (version !== FORMAT_VERSION || region.u32[GAPS_RESERVED_AT >>> 2] !== 0) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has gaps format ${version}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file },
    )
  }
  const baseOffset = readU64(region, GAPS_BASE_OFFSET_AT)
  const gaps: SegmentGap[] = []
  let [offset, position] = [baseOffset, 0]
  for (let at = GAPS_HEADER_BYTES; at < bytes.length; at += GAPS_ENTRY_BYTES) {
    const [offsetFrom, offsetTo] = [readU64(region, at), readU64(region, at + 8)]
    const [positionFrom, positionTo] = [readU64(region, at + 16), readU64(region, at + 24)]
    if (offsetFrom < offset || offsetTo < offsetFrom || positionFrom < position || positionTo < positionFrom) {
      throw corrupt(file, 'names stretches that do not follow one another')
    }
    if (offsetTo === offsetFrom && positionTo === positionFrom) throw corrupt(file, 'names an empty stretch')
    ;[offset, position] = [offsetTo, positionTo]
    gaps.push({ offsetFrom, offsetTo, positionFrom, positionTo })
  }
  if (offset > OFFSET_MAX) throw corrupt(file, 'names offsets that cannot be')
  return { segmentId: region.u32[GAPS_SEGMENT_ID_AT >>> 2], baseOffset, gaps }
}

function corrupt(file: string, what: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} ${what}; restore it from a copy, or open with recovery: 'skip' to find out anew what its segment has lost`,
    { file, position: 0 },
  )
}
