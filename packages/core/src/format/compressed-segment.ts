import { WalrusError } from '../errors.js'
import { BLOCK_BYTES_MAX } from '../limits.js'
import { checksum, checksumSmall } from './checksum.js'
import {
  BLOCK_AS_IT_IS,
  BLOCK_CHECK_AT,
  BLOCK_COMPRESSED,
  BLOCK_ENTRY_BYTES,
  BLOCK_FORM_AT,
  BLOCK_RAW_BYTES_AT,
  BLOCK_STORED_BYTES_AT,
  COMPRESSED_HEAD_BYTES,
  COMPRESSED_VERSION,
  COMPRESSION_BLOCK_COUNT_AT,
  COMPRESSION_CHECK_AT,
  COMPRESSION_CODEC_AT,
  COMPRESSION_FILE_BYTES_AT,
  COMPRESSION_HEADER_BYTES,
  COMPRESSION_MAGIC,
  COMPRESSION_MAGIC_AT,
  COMPRESSION_RAW_BYTES_AT,
  COMPRESSION_RESERVED_AT,
  COMPRESSION_TABLE_CHECK_AT,
  SEGMENT_HEADER_BYTES,
} from './layout.js'
import { Region, readU64, writeU64 } from './region.js'
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader, segmentVersion } from './segment-header.js'

/** What a compressed segment's file says of itself, at its beginning and once more at its end. */
export interface CompressedHead {
  header: SegmentHeader
  codec: number
  blockCount: number
  /** CRC of the block table. */
  tableCheck: number
  /** Length of the segment as it was before: header and batches. */
  rawBytes: number
  fileBytes: number
}

/** A stretch of the raw segment, behind its header, and the bytes that it is kept as. */
export interface Block {
  rawAt: number
  rawBytes: number
  fileAt: number
  storedBytes: number
  /** CRC of the stored bytes. */
  check: number
  isCompressed: boolean
}

/** Both headers and the table of blocks, as they stand at the file's beginning; at its end, their order is the reverse. */
export function compressedHeadBytes(blockCount: number): number {
  return COMPRESSED_HEAD_BYTES + blockCount * BLOCK_ENTRY_BYTES
}

/**
 * Encodes what stands before and behind the blocks, in this order. `blocks` follow one another without a gap, in the raw
 * segment as in the file.
 */
export function encodeCompressedEnds(
  header: SegmentHeader,
  codec: number,
  blocks: readonly Block[],
): { before: Uint8Array; behind: Uint8Array } {
  const tableBytes = blocks.length * BLOCK_ENTRY_BYTES
  const before = Region.allocate(COMPRESSED_HEAD_BYTES + tableBytes)
  let [rawBytes, fileBytes] = [SEGMENT_HEADER_BYTES, 2 * before.byteLength]
  for (const [place, block] of blocks.entries()) {
    const at = COMPRESSED_HEAD_BYTES + place * BLOCK_ENTRY_BYTES
    before.u32[(at + BLOCK_RAW_BYTES_AT) >>> 2] = block.rawBytes
    before.u32[(at + BLOCK_STORED_BYTES_AT) >>> 2] = block.storedBytes
    before.u32[(at + BLOCK_CHECK_AT) >>> 2] = block.check
    before.u32[(at + BLOCK_FORM_AT) >>> 2] = block.isCompressed ? BLOCK_COMPRESSED : BLOCK_AS_IT_IS
    rawBytes += block.rawBytes
    fileBytes += block.storedBytes
  }
  encodeSegmentHeader(before, 0, header, COMPRESSED_VERSION)
  const at = SEGMENT_HEADER_BYTES
  before.u32[(at + COMPRESSION_MAGIC_AT) >>> 2] = COMPRESSION_MAGIC
  before.u32[(at + COMPRESSION_CODEC_AT) >>> 2] = codec
  before.u32[(at + COMPRESSION_BLOCK_COUNT_AT) >>> 2] = blocks.length
  const table = checksum(before, COMPRESSED_HEAD_BYTES, before.byteLength)
  before.u32[(at + COMPRESSION_TABLE_CHECK_AT) >>> 2] = table
  writeU64(before, at + COMPRESSION_RAW_BYTES_AT, rawBytes)
  writeU64(before, at + COMPRESSION_FILE_BYTES_AT, fileBytes)
  before.u32[(at + COMPRESSION_CHECK_AT) >>> 2] = checksumSmall(before, at, at + COMPRESSION_CHECK_AT)
  const behind = new Uint8Array(before.byteLength)
  behind.set(before.u8.subarray(COMPRESSED_HEAD_BYTES), 0)
  behind.set(before.u8.subarray(at, COMPRESSED_HEAD_BYTES), tableBytes)
  behind.set(before.u8.subarray(0, at), tableBytes + COMPRESSION_HEADER_BYTES)
  return { before: before.u8, behind }
}

/**
 * Decodes the two headers: the segment's at `segmentAt`, the compression's at `compressionAt`, in a region that has
 * both. Undefined where either is not sound. Throws `FORMAT_VERSION` for a codec or a field that this version does not know.
 */
export function decodeCompressedHead(
  region: Region,
  segmentAt: number,
  compressionAt: number,
  file: string,
  isCodec: (codec: number) => boolean,
): CompressedHead | undefined {
  if (segmentVersion(region, segmentAt, SEGMENT_HEADER_BYTES) !== COMPRESSED_VERSION) return undefined
  const at = compressionAt
  const word = (field: number): number => region.u32[(at + field) >>> 2]
  if (word(COMPRESSION_MAGIC_AT) !== COMPRESSION_MAGIC) return undefined
  if (word(COMPRESSION_CHECK_AT) !== checksumSmall(region, at, at + COMPRESSION_CHECK_AT)) return undefined
  const header = decodeSegmentHeader(region, segmentAt, SEGMENT_HEADER_BYTES, file, COMPRESSED_VERSION)!
  const codec = word(COMPRESSION_CODEC_AT)
  let reserved = 0
  for (let byte = at + COMPRESSION_RESERVED_AT; byte < at + COMPRESSION_CHECK_AT; byte++) reserved |= region.u8[byte]
  if (!isCodec(codec) || reserved !== 0) {
    const what = reserved === 0 ? `is compressed by codec ${codec}` : 'is compressed with unknown fields'
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} ${what}, this version reads lz4 (1) and zstd (2); open it with the version that wrote it`,
      { file, position: 0 },
    )
  }
  const blockCount = word(COMPRESSION_BLOCK_COUNT_AT)
  const rawBytes = readU64(region, at + COMPRESSION_RAW_BYTES_AT)
  const fileBytes = readU64(region, at + COMPRESSION_FILE_BYTES_AT)
  // Whoever believes the head asks for memory by it.
  if (fileBytes < 2 * compressedHeadBytes(blockCount) || rawBytes < SEGMENT_HEADER_BYTES) return undefined
  return { header, codec, blockCount, tableCheck: word(COMPRESSION_TABLE_CHECK_AT), rawBytes, fileBytes }
}

/** Decodes a block table that begins at byte 0 of `region`. Undefined where it is not the head's, or cannot be one. */
export function decodeBlockTable(region: Region, head: CompressedHead): Block[] | undefined {
  const { blockCount, tableCheck, rawBytes, fileBytes } = head
  const bytes = blockCount * BLOCK_ENTRY_BYTES
  if (checksum(region, 0, bytes) !== tableCheck) return undefined
  const blocks: Block[] = []
  let [rawAt, fileAt] = [SEGMENT_HEADER_BYTES, compressedHeadBytes(blockCount)]
  for (let at = 0; at < bytes; at += BLOCK_ENTRY_BYTES) {
    const raw = region.u32[(at + BLOCK_RAW_BYTES_AT) >>> 2]
    const stored = region.u32[(at + BLOCK_STORED_BYTES_AT) >>> 2]
    const form = region.u32[(at + BLOCK_FORM_AT) >>> 2]
    const isCompressed = form === BLOCK_COMPRESSED
    if (raw === 0 || raw > BLOCK_BYTES_MAX || stored === 0 || stored > raw) return undefined
    if (!isCompressed && (form !== BLOCK_AS_IT_IS || stored !== raw)) return undefined
    const check = region.u32[(at + BLOCK_CHECK_AT) >>> 2]
    blocks.push({ rawAt, rawBytes: raw, fileAt, storedBytes: stored, check, isCompressed })
    rawAt += raw
    fileAt += stored
  }
  return rawAt === rawBytes && fileAt + compressedHeadBytes(blockCount) === fileBytes ? blocks : undefined
}
