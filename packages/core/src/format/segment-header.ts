import { WalrusError } from '../errors.js'
import { checksumSmall } from './checksum.js'
import {
  FORMAT_VERSION,
  SEGMENT_ACKNOWLEDGED_OFFSET_AT,
  SEGMENT_BASE_OFFSET_AT,
  SEGMENT_CHECK_AT,
  SEGMENT_CREATED_MS_AT,
  SEGMENT_EPOCH_AT,
  SEGMENT_GENERATION_AT,
  SEGMENT_HEADER_BYTES,
  SEGMENT_ID_AT,
  SEGMENT_MAGIC,
  SEGMENT_MAGIC_AT,
  SEGMENT_PARTITION_AT,
  SEGMENT_RESERVED_AT,
  SEGMENT_VERSION_AT,
} from './layout.js'
import { type Region, readU64, writeU64 } from './region.js'

export interface SegmentHeader {
  /** Random; every batch repeats it, which tells live bytes from those of a file's former life. */
  segmentId: number
  baseOffset: number
  leaseEpoch: number
  createdMs: number
  /** Everything below this offset was acknowledged when the segment began. */
  acknowledgedOffset: number
  partition: number
  /** How often compaction has rewritten the segment; left out: never. Positions are of one generation. */
  generation?: number
}

export function encodeSegmentHeader(
  region: Region,
  at: number,
  header: SegmentHeader,
  version: number = FORMAT_VERSION,
): void {
  region.u8.fill(0, at, at + SEGMENT_HEADER_BYTES)
  region.u32[(at + SEGMENT_MAGIC_AT) >>> 2] = SEGMENT_MAGIC
  region.u32[(at + SEGMENT_VERSION_AT) >>> 2] = version
  writeU64(region, at + SEGMENT_BASE_OFFSET_AT, header.baseOffset)
  region.u32[(at + SEGMENT_ID_AT) >>> 2] = header.segmentId
  region.u32[(at + SEGMENT_EPOCH_AT) >>> 2] = header.leaseEpoch
  region.f64[(at + SEGMENT_CREATED_MS_AT) >>> 3] = header.createdMs
  writeU64(region, at + SEGMENT_ACKNOWLEDGED_OFFSET_AT, header.acknowledgedOffset)
  region.u32[(at + SEGMENT_PARTITION_AT) >>> 2] = header.partition
  region.u32[(at + SEGMENT_GENERATION_AT) >>> 2] = header.generation ?? 0
  region.u32[(at + SEGMENT_CHECK_AT) >>> 2] = checksumSmall(region, at, at + SEGMENT_CHECK_AT)
}

/**
 * Decodes the header at `at`, of which `available` bytes were read.
 * Returns undefined where the header is incomplete, all zeros or fails its check: the caller knows whether that is a
 * torn creation or damage. Throws `FORMAT_VERSION` for a sound header of another version than `versionRead`.
 */
export function decodeSegmentHeader(
  region: Region,
  at: number,
  available: number,
  file: string,
  versionRead: number = FORMAT_VERSION,
): SegmentHeader | undefined {
  const version = segmentVersion(region, at, available)
  if (version === undefined) return undefined
  let reserved = 0
  for (let byte = at + SEGMENT_RESERVED_AT; byte < at + SEGMENT_CHECK_AT; byte++) reserved |= region.u8[byte]
  if (version !== versionRead || reserved !== 0) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has segment format ${version}${reserved === 0 ? '' : ' with unknown fields'}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file, position: at },
    )
  }
  const generation = region.u32[(at + SEGMENT_GENERATION_AT) >>> 2]
  return {
    segmentId: region.u32[(at + SEGMENT_ID_AT) >>> 2],
    baseOffset: readU64(region, at + SEGMENT_BASE_OFFSET_AT),
    leaseEpoch: region.u32[(at + SEGMENT_EPOCH_AT) >>> 2],
    createdMs: region.f64[(at + SEGMENT_CREATED_MS_AT) >>> 3],
    acknowledgedOffset: readU64(region, at + SEGMENT_ACKNOWLEDGED_OFFSET_AT),
    partition: region.u32[(at + SEGMENT_PARTITION_AT) >>> 2],
    ...(generation > 0 && { generation }),
  }
}

/** The version that a sound header at `at` names; undefined where there is no sound one. */
export function segmentVersion(region: Region, at: number, available: number): number | undefined {
  if (available < SEGMENT_HEADER_BYTES || region.u32[(at + SEGMENT_MAGIC_AT) >>> 2] !== SEGMENT_MAGIC) return undefined
  if (region.u32[(at + SEGMENT_CHECK_AT) >>> 2] !== checksumSmall(region, at, at + SEGMENT_CHECK_AT)) return undefined
  return region.u32[(at + SEGMENT_VERSION_AT) >>> 2]
}
