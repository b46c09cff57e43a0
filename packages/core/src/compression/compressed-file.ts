import { crc32 } from 'node:zlib'
import { assert } from '../errors.js'
import {
  type Block,
  type CompressedHead,
  compressedHeadBytes,
  decodeBlockTable,
  decodeCompressedHead,
} from '../format/compressed-segment.js'
import {
  BLOCK_ENTRY_BYTES,
  COMPRESSED_HEAD_BYTES,
  COMPRESSION_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from '../format/layout.js'
import { Region } from '../format/region.js'
import { encodeSegmentHeader, segmentVersion } from '../format/segment-header.js'
import { BLOCK_BYTES_MAX, READ_CHUNK_BYTES } from '../limits.js'
import type { OpenFile } from '../storage/file-system.js'
import type { BlockCodec } from './block-codec.js'
import { type Compression, codecOf } from './codec.js'

/** What stands where a block cannot be read: no batch begins like this, and no batch's checksum holds over it. */
const UNREADABLE = 0xff

/** A part of a compressed file that is there twice, and of which one is damaged. */
export type DamagedPart = 'headers' | 'block table' | 'headers at the end' | 'block table at the end' | 'length'

/**
 * A compressed segment's file as if it were the raw one: positions, lengths and bytes are those that it had before it
 * was compressed, so that indexes, cursors and checksums say the same of both. It takes no writes. What of it is damaged
 * reads as bytes that are no batch's. One thread's.
 *
 * Invariants: `#blocks` are all of the raw segment behind its header, or none where no table of them is whole; `#raw` holds
 * the block `#rawPlace`.
 */
export class CompressedFile implements OpenFile {
  readonly compression: Compression
  readonly head: CompressedHead
  readonly #file: OpenFile
  readonly #blocks: readonly Block[]
  readonly #codec: BlockCodec
  readonly #header: Uint8Array
  #raw: Uint8Array | undefined
  #rawPlace = -1
  /** A stretch of the file, as it was read: blocks that follow one another are read at once. */
  #stored: Uint8Array | undefined
  #storedAt = 0
  #storedBytes = 0

  private constructor(file: OpenFile, head: CompressedHead, blocks: readonly Block[]) {
    const { name, codec } = codecOf(head.codec)!
    this.#file = file
    this.head = head
    this.#blocks = blocks
    this.compression = name
    this.#codec = codec
    const region = Region.allocate(SEGMENT_HEADER_BYTES)
    encodeSegmentHeader(region, 0, head.header)
    this.#header = region.u8
  }

  /** The file as a compressed one; undefined where it is none. `name` is for errors: throws `FORMAT_VERSION`. */
  static open(file: OpenFile, name: string): CompressedFile | undefined {
    const head = readHead(file, name)
    return head === undefined ? undefined : new CompressedFile(file, head, readTable(file, head) ?? [])
  }

  get blockCount(): number {
    return this.head.blockCount
  }

  /** Bytes that the file takes, as against those that it stands for. */
  storedBytes(): number {
    return this.#file.size()
  }

  size(): number {
    return this.head.rawBytes
  }

  /** Where the block ends that has the byte at `position`. */
  blockEnd(position: number): number {
    const block = this.#blocks[this.#placeOf(position)]
    return block === undefined ? this.size() : block.rawAt + block.rawBytes
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    const end = Math.min(position + length, this.size())
    let at = position
    if (at < Math.min(SEGMENT_HEADER_BYTES, end)) {
      const part = this.#header.subarray(at, Math.min(SEGMENT_HEADER_BYTES, end))
      target.set(part, offset)
      at += part.length
    }
    for (let place = this.#placeOf(at); at < end; place++) {
      const block = this.#blocks[place]
      const blockEnd = block === undefined ? end : block.rawAt + block.rawBytes
      const to = Math.min(blockEnd, end)
      const part = target.subarray(offset + at - position, offset + to - position)
      if (block === undefined) part.fill(UNREADABLE)
      else if (part.length === block.rawBytes && place !== this.#rawPlace) this.#decompress(block, part, end)
      else part.set(this.#block(place).subarray(at - block.rawAt, to - block.rawAt))
      at = to
    }
    return Math.max(at - position, 0)
  }

  write(): never {
    throw new Error('a compressed segment takes no writes')
  }

  writeMany(): never {
    throw new Error('a compressed segment takes no writes')
  }

  truncate(): never {
    throw new Error('a compressed segment cannot be cut; it has to be written out raw first')
  }

  sync(): void {
    this.#file.sync()
  }

  close(): void {
    this.#file.close()
  }

  /** What is damaged of the parts that are there twice. Damage of blocks shows as damage of their batches. */
  damagedParts(name: string): DamagedPart[] {
    const { head } = this
    const parts: DamagedPart[] = []
    const fileBytes = this.#file.size()
    if (fileBytes !== head.fileBytes) parts.push('length')
    if (headAt(this.#file, 'front', fileBytes, name) === undefined) parts.push('headers')
    if (headAt(this.#file, 'back', head.fileBytes, name) === undefined) parts.push('headers at the end')
    if (tableAt(this.#file, head, COMPRESSED_HEAD_BYTES) === undefined) parts.push('block table')
    if (tableAt(this.#file, head, backTableAt(head)) === undefined) parts.push('block table at the end')
    return parts
  }

  /** The last block that begins at or before `position`. */
  #placeOf(position: number): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#blocks[middle].rawAt <= position) low = middle + 1
      else high = middle
    }
    return Math.max(low - 1, 0)
  }

  /** The raw bytes of a block that is wanted in parts. */
  #block(place: number): Uint8Array {
    const block = this.#blocks[place]
    this.#raw ??= new Uint8Array(BLOCK_BYTES_MAX)
    const raw = this.#raw.subarray(0, block.rawBytes)
    if (this.#rawPlace !== place) {
      this.#rawPlace = -1
      this.#decompress(block, raw, 0)
      this.#rawPlace = place
    }
    return raw
  }

  #decompress(block: Block, target: Uint8Array, rawEnd: number): void {
    const stored = this.#need(block, rawEnd)
    const isSound = stored.length === block.storedBytes && crc32(stored) === block.check
    if (isSound && !block.isCompressed) target.set(stored)
    else if (!isSound || !this.#codec.decompress(stored, target)) target.fill(UNREADABLE)
  }

  /** The stored bytes of a block; those of the following ones up to `rawEnd` are read with it. Fewer at the file's end. */
  #need({ rawAt, fileAt, storedBytes }: Block, rawEnd: number): Uint8Array {
    if (fileAt < this.#storedAt || fileAt + storedBytes > this.#storedAt + this.#storedBytes) {
      this.#stored ??= new Uint8Array(STORED_BYTES)
      let bytes = storedBytes
      // By guess that what follows is compressed as well as this block; what is too much is of use to the next call.
      if (rawEnd > rawAt) {
        const ratio = storedBytes / (this.blockEnd(rawAt) - rawAt)
        const last = compressedHeadBytes(this.blockCount)
        const behind = this.head.fileBytes - last - fileAt
        bytes = Math.min(Math.max(Math.ceil((rawEnd - rawAt) * ratio), storedBytes), behind, STORED_BYTES)
      }
      this.#storedBytes = 0
      const read = this.#file.read(this.#stored, 0, bytes, fileAt)
      this.#storedAt = fileAt
      this.#storedBytes = read
    }
    const at = fileAt - this.#storedAt
    return this.#stored!.subarray(at, Math.min(at + storedBytes, this.#storedBytes))
  }
}

const STORED_BYTES = Math.max(BLOCK_BYTES_MAX, READ_CHUNK_BYTES / 4)

const isCodec = (codec: number): boolean => codecOf(codec) !== undefined
const backTableAt = ({ fileBytes, blockCount }: CompressedHead): number => fileBytes - compressedHeadBytes(blockCount)

/** From the file's beginning or, where that is damaged, from its end. */
function readHead(file: OpenFile, name: string): CompressedHead | undefined {
  const region = Region.allocate(COMPRESSED_HEAD_BYTES)
  const read = file.read(region.u8, 0, COMPRESSED_HEAD_BYTES, 0)
  const version = segmentVersion(region, 0, read)
  if (version !== undefined && version === 1) return undefined
  const front = read < COMPRESSED_HEAD_BYTES ? undefined : decodeFront(region, name)
  return front ?? headAt(file, 'back', file.size(), name)
}

const decodeFront = (region: Region, name: string): CompressedHead | undefined =>
  decodeCompressedHead(region, 0, SEGMENT_HEADER_BYTES, name, isCodec)

function headAt(file: OpenFile, end: 'front' | 'back', fileBytes: number, name: string): CompressedHead | undefined {
  if (fileBytes < 2 * COMPRESSED_HEAD_BYTES) return undefined
  const region = Region.allocate(COMPRESSED_HEAD_BYTES)
  const at = end === 'front' ? 0 : fileBytes - COMPRESSED_HEAD_BYTES
  if (file.read(region.u8, 0, COMPRESSED_HEAD_BYTES, at) < COMPRESSED_HEAD_BYTES) return undefined
  if (end === 'front') return decodeFront(region, name)
  const head = decodeCompressedHead(region, COMPRESSION_HEADER_BYTES, 0, name, isCodec)
  return head?.fileBytes === fileBytes ? head : undefined
}

function readTable(file: OpenFile, head: CompressedHead): readonly Block[] | undefined {
  return tableAt(file, head, COMPRESSED_HEAD_BYTES) ?? tableAt(file, head, backTableAt(head))
}

function tableAt(file: OpenFile, head: CompressedHead, at: number): Block[] | undefined {
  const bytes = head.blockCount * BLOCK_ENTRY_BYTES
  assert(bytes <= head.fileBytes, 'a head is believed only where its file has room for its table')
  if (at + bytes > file.size()) return undefined
  const region = Region.allocate(bytes)
  if (file.read(region.u8, 0, bytes, at) < bytes) return undefined
  return decodeBlockTable(region, head)
}
