import path from 'node:path'
import { crc32 } from 'node:zlib'
import { CODEC_NUMBERS, type Compression, codecOf } from '../compression/codec.js'
import { CompressedFile } from '../compression/compressed-file.js'
import { WalrusError } from '../errors.js'
import { batchLength } from '../format/batch.js'
import { type Block, compressedHeadBytes, encodeCompressedEnds } from '../format/compressed-segment.js'
import { encodeIndex, type SegmentIndex } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { SegmentHeader } from '../format/segment-header.js'
import { BLOCK_BYTES_MAX, READ_CHUNK_BYTES } from '../limits.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { writeBeside } from '../storage/publish-file.js'
import { rebuildIndex } from './rebuild-index.js'
import { finishReplacement } from './replace-segment.js'
import { scanSegment } from './scan.js'
import { loadIndex, readSegmentHeader } from './seal.js'
import { isCompressed, openSegmentFile } from './segment-file.js'
import { gapsFileName, segmentFileName, TEMPORARY_SUFFIX } from './segment-name.js'

/**
 * - `compressed`: the file is now a compressed one;
 * - `unfit`: it was one already, or something of it was given up, or it is not sealed: it is left as it is;
 * - `stopped`: the caller said so; nothing has changed.
 */
export type CompressOutcome = 'compressed' | 'unfit' | 'stopped'

/**
 * Puts a compressed file in the place of a sealed segment's, at once and for good: it is written beside, synced, read back
 * and compared, and then renamed. A crash at any point leaves the one or the other, whole; what was written beside is
 * removed by the next open. Whoever has the raw file open reads on in it. Throws `SEGMENT_CORRUPT` where the segment is
 * not what its index says: then the raw file stays. The segment is nobody's else to change meanwhile.
 */
export function compressSegment(
  fs: FileSystem,
  directory: string,
  baseOffset: number,
  compression: Compression,
  isStopped: () => boolean = () => false,
): CompressOutcome {
  const name = path.join(directory, segmentFileName(baseOffset))
  finishReplacement(fs, directory, baseOffset)
  const index = loadIndex(fs, directory, baseOffset)
  if (index === undefined || fs.exists(path.join(directory, gapsFileName(baseOffset)))) return 'unfit'
  const file = openSegmentFile(fs, name, 'read')
  try {
    if (isCompressed(file)) return 'unfit'
    const header = readSegmentHeader(file, name)
    if (header === undefined || header.segmentId !== index.segmentId) throw unsound(name, 0, baseOffset)
    const temporary = name + TEMPORARY_SUFFIX
    const writing = { file, header, index, name, compression, isStopped }
    if (!writeBeside(fs, temporary, (target) => writeCompressed(writing, target))) return 'stopped'
    fs.rename(temporary, name)
    fs.syncDirectory(directory)
    return 'compressed'
  } finally {
    file.close()
  }
}

interface Writing {
  file: OpenFile
  header: SegmentHeader
  index: SegmentIndex
  name: string
  compression: Compression
  isStopped: () => boolean
}

/** Undefined where it was stopped. */
function writeCompressed(writing: Writing, target: OpenFile): true | undefined {
  const { file, header, index, name, compression, isStopped } = writing
  const blocks = writeBlocks(file, target, planBlocks(writing), compression, isStopped)
  if (blocks === undefined) return undefined
  const { before, behind } = encodeCompressedEnds(header, CODEC_NUMBERS[compression], blocks)
  const last = blocks.at(-1)
  target.write(before, 0, before.length, 0)
  target.write(behind, 0, behind.length, last === undefined ? before.length : last.fileAt + last.storedBytes)
  target.sync()
  const copy = CompressedFile.open(target, name)
  if (copy === undefined) throw unsound(name, 0, index.baseOffset)
  verifyCopy(writing, copy)
  return isStopped() ? undefined : true
}

/**
 * Lengths of the blocks: whole batches, as many as fit, or a part of a batch that is larger than a block. Every batch is
 * checked here for the first time.
 */
function planBlocks({ file, index, name }: Writing): number[] {
  const lengths: number[] = []
  let open = 0
  const close = (): void => {
    if (open > 0) lengths.push(open)
    open = 0
  }
  const scan = scanSegment({
    file,
    segmentId: index.segmentId,
    position: SEGMENT_HEADER_BYTES,
    offset: index.baseOffset,
    onBatch(region, at) {
      let length = batchLength(region, at)
      if (open + length > BLOCK_BYTES_MAX) close()
      for (; length > BLOCK_BYTES_MAX; length -= BLOCK_BYTES_MAX) lengths.push(BLOCK_BYTES_MAX)
      open += length
    },
  })
  close()
  const isWhole = scan.position === index.dataBytes && scan.offsetNext === index.baseOffset + index.recordCount
  // Zeros behind the data are the reserve: the seal's truncation may not have reached the disk. The copy does without them.
  if (!isWhole || scan.damage !== undefined) throw unsound(name, scan.position, scan.offsetNext)
  return lengths
}

/** Undefined where it was stopped. */
function writeBlocks(
  file: OpenFile,
  target: OpenFile,
  lengths: readonly number[],
  compression: Compression,
  isStopped: () => boolean,
): Block[] | undefined {
  const { codec } = codecOf(CODEC_NUMBERS[compression])!
  const blocks: Block[] = []
  const raw = new Uint8Array(BLOCK_BYTES_MAX)
  let [rawAt, fileAt] = [SEGMENT_HEADER_BYTES, compressedHeadBytes(lengths.length)]
  for (const rawBytes of lengths) {
    if (isStopped()) return undefined
    const source = raw.subarray(0, rawBytes)
    file.read(source, 0, rawBytes, rawAt)
    const compressed = codec.compress(source)
    const isCompressed = compressed.length < rawBytes
    const stored = isCompressed ? compressed : source
    const check = crc32(stored)
    target.write(stored, 0, stored.length, fileAt)
    blocks.push({ rawAt, rawBytes, fileAt, storedBytes: stored.length, check, isCompressed })
    rawAt += rawBytes
    fileAt += stored.length
  }
  return blocks
}

/** That the copy has every byte of the raw file, and is a whole segment by its own checksums: the one that its index names. */
function verifyCopy({ file, index, name }: Writing, copy: CompressedFile): void {
  const [expected, found] = [new Uint8Array(READ_CHUNK_BYTES), new Uint8Array(READ_CHUNK_BYTES)]
  for (let position = 0; position < index.dataBytes; position += READ_CHUNK_BYTES) {
    const length = Math.min(READ_CHUNK_BYTES, index.dataBytes - position)
    const bytes = file.read(expected, 0, length, position)
    const copied = copy.read(found, 0, length, position)
    if (bytes !== copied || Buffer.compare(expected.subarray(0, bytes), found.subarray(0, copied)) !== 0) {
      throw unsound(name, position, index.baseOffset)
    }
  }
  const { segmentId, baseOffset, sealedMs, generation } = index
  const { index: rebuilt, scan } = rebuildIndex(copy, { segmentId, baseOffset, sealedMs, generation })
  if (Buffer.compare(encodeIndex(rebuilt), encodeIndex(index)) !== 0)
    throw unsound(name, scan.position, scan.offsetNext)
}

function unsound(file: string, position: number, offset: number): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is not what its index says, from byte ${position} on (offset ${offset}); it was left as it is and not compressed: run 'walrus verify'`,
    { file, position, offset },
  )
}

/**
 * Puts a raw file in the place of a compressed one, up to byte `rawBytes` of it, in the same way: for what can change raw
 * files only. What of it cannot be read becomes bytes that are no batch's.
 */
export function inflateSegment(fs: FileSystem, directory: string, baseOffset: number, rawBytes?: number): void {
  const name = path.join(directory, segmentFileName(baseOffset))
  const file = openSegmentFile(fs, name, 'read')
  try {
    if (!isCompressed(file)) return
    const temporary = name + TEMPORARY_SUFFIX
    writeBeside(fs, temporary, (target) => {
      const chunk = new Uint8Array(READ_CHUNK_BYTES)
      const end = Math.min(rawBytes ?? file.size(), file.size())
      for (let position = 0; position < end; ) {
        const bytes = file.read(chunk, 0, Math.min(chunk.length, end - position), position)
        target.write(chunk, 0, bytes, position)
        position += bytes
      }
      target.sync()
      return true
    })
    fs.rename(temporary, name)
    fs.syncDirectory(directory)
  } finally {
    file.close()
  }
}
