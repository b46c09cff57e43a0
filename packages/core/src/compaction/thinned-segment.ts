import { assert } from '../errors.js'
import { batchLength } from '../format/batch.js'
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { Region } from '../format/region.js'
import { encodeSegmentHeader, type SegmentHeader } from '../format/segment-header.js'
import { READ_CHUNK_BYTES } from '../limits.js'
import { IndexBuilder } from '../segment/index-builder.js'
import type { OpenFile } from '../storage/file-system.js'
import { beginFiller, extendFiller, type KeptRecord, thinBatch, thinnedBytes } from './thin-batch.js'

/** Puts a thinned segment together in a new file, batch by batch. */
export class ThinnedSegment {
  readonly builder = new IndexBuilder()
  readonly #file: OpenFile
  readonly #chunk = Region.allocate(READ_CHUNK_BYTES)
  #chunkBytes = 0
  #position = 0
  #thinned = Region.allocate(BATCH_HEADER_BYTES)
  /** A batch that spans what was passed over since the last one that is there. */
  readonly #filler = Region.allocate(BATCH_HEADER_BYTES)
  #hasFiller = false

  constructor(file: OpenFile, header: SegmentHeader) {
    this.#file = file
    const region = Region.allocate(SEGMENT_HEADER_BYTES)
    encodeSegmentHeader(region, 0, header)
    this.#write(region.u8)
  }

  /** Takes the batch as it is. */
  copy(region: Region, at: number): void {
    this.#endFiller()
    this.#add(region, at)
  }

  thin(region: Region, at: number, kept: readonly KeptRecord[]): void {
    this.#endFiller()
    const bytes = thinnedBytes(kept)
    if (bytes > this.#thinned.byteLength) this.#thinned = Region.allocate(Math.max(bytes, 2 * this.#thinned.byteLength))
    thinBatch(region, at, kept, this.#thinned)
    this.#add(this.#thinned, 0)
  }

  /** Leaves nothing of the batch but that it was there. */
  pass(region: Region, at: number): void {
    if (this.#hasFiller) extendFiller(region, at, this.#filler)
    else beginFiller(region, at, this.#filler)
    this.#hasFiller = true
  }

  /** Returns the segment's length. */
  end(): number {
    this.#endFiller()
    this.#flush()
    return this.#position
  }

  #endFiller(): void {
    if (this.#hasFiller) this.#add(this.#filler, 0)
    this.#hasFiller = false
  }

  #add(region: Region, at: number): void {
    this.builder.add(region, at, this.#position + this.#chunkBytes)
    this.#write(region.u8.subarray(at, at + batchLength(region, at)))
  }

  #write(bytes: Uint8Array): void {
    if (this.#chunkBytes + bytes.length > this.#chunk.byteLength) this.#flush()
    if (bytes.length > this.#chunk.byteLength) {
      this.#file.write(bytes, 0, bytes.length, this.#position)
      this.#position += bytes.length
      return
    }
    this.#chunk.u8.set(bytes, this.#chunkBytes)
    this.#chunkBytes += bytes.length
    assert(this.#chunkBytes <= this.#chunk.byteLength, 'what is put together fits')
  }

  #flush(): void {
    if (this.#chunkBytes === 0) return
    this.#file.write(this.#chunk.u8, 0, this.#chunkBytes, this.#position)
    this.#position += this.#chunkBytes
    this.#chunkBytes = 0
  }
}
