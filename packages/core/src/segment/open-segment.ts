import path from 'node:path'
import { assert } from '../errors.js'
import { batchLength, batchRecordCount, stampBatch } from '../format/batch.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { Region } from '../format/region.js'
import { encodeSegmentHeader, type SegmentHeader } from '../format/segment-header.js'
import { PREALLOCATE_BYTES } from '../limits.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { IndexBuilder } from './index-builder.js'
import type { RolledSegment } from './seal.js'
import { segmentFileName } from './segment-name.js'

/**
 * The segment that takes writes, owned by one thread.
 *
 * Invariants: `SEGMENT_HEADER_BYTES <= positionWritten <= positionStaged`; `positionStaged <= sizeBytes` after a write;
 * `offsetStaged - header.baseOffset` records were stamped, in order, without a gap.
 */
export class OpenSegment {
  readonly header: SegmentHeader
  readonly path: string
  offsetStaged: number
  positionStaged: number
  positionWritten: number
  /** Undefined: the segment was taken over in its middle and its index has to be read from the file. */
  readonly #builder: IndexBuilder | undefined
  readonly #file: OpenFile
  readonly #bytesMax: number
  #sizeBytes: number

  private constructor(
    file: OpenFile,
    path: string,
    header: SegmentHeader,
    state: { position: number; offset: number; sizeBytes: number; builder: IndexBuilder | undefined; bytesMax: number },
  ) {
    this.#file = file
    this.path = path
    this.header = header
    this.positionStaged = state.position
    this.positionWritten = state.position
    this.offsetStaged = state.offset
    this.#sizeBytes = state.sizeBytes
    this.#builder = state.builder
    this.#bytesMax = state.bytesMax
  }

  /** Makes the file with its header. Its directory entry is durable after the caller's
   *  `syncDirectory`. */
  static create(fs: FileSystem, directory: string, header: SegmentHeader, bytesMax: number): OpenSegment {
    const name = path.join(directory, segmentFileName(header.baseOffset))
    const file = fs.open(name, 'create')
    try {
      const region = Region.allocate(SEGMENT_HEADER_BYTES)
      encodeSegmentHeader(region, 0, header)
      const sizeBytes = Math.min(PREALLOCATE_BYTES, bytesMax)
      file.truncate(sizeBytes)
      file.write(region.u8, 0, SEGMENT_HEADER_BYTES, 0)
      const state = { position: SEGMENT_HEADER_BYTES, offset: header.baseOffset, sizeBytes, bytesMax }
      return new OpenSegment(file, name, header, { ...state, builder: new IndexBuilder() })
    } catch (error) {
      // What is there of the file holds nothing; left behind, it would be in the next attempt's way.
      file.close()
      try {
        fs.remove(name)
      } catch {
        // The next open removes it.
      }
      throw error
    }
  }

  /** Goes on in a file that recovery found whole up to `position`. The file handle becomes the segment's. */
  static resume(
    file: OpenFile,
    path: string,
    header: SegmentHeader,
    state: { position: number; offset: number; builder: IndexBuilder | undefined; bytesMax: number },
  ): OpenSegment {
    return new OpenSegment(file, path, header, { ...state, sizeBytes: file.size() })
  }

  get recordCount(): number {
    return this.offsetStaged - this.header.baseOffset
  }

  /** Gives the batch at `at` its offset and counts it in; its bytes have to be written by the next `writeStaged`. */
  stage(region: Region, at: number, acknowledgedOffset: number, leaseEpoch: number): void {
    assert(batchRecordCount(region, at) > 0, 'a staged batch has a record')
    assert(acknowledgedOffset <= this.offsetStaged, 'acknowledgedOffset <= offsetStaged')
    stamp.baseOffset = this.offsetStaged
    stamp.acknowledgedOffset = acknowledgedOffset
    stamp.leaseEpoch = leaseEpoch
    stamp.segmentId = this.header.segmentId
    stampBatch(region, at, stamp)
    this.#builder?.add(region, at, this.positionStaged)
    this.offsetStaged += batchRecordCount(region, at)
    this.positionStaged += batchLength(region, at)
  }

  /** Writes what was staged since the last time: `views` are those batches' bytes, in the order they were staged. */
  writeStaged(views: Uint8Array[]): void {
    if (this.positionStaged > this.#sizeBytes) {
      const ahead = Math.min(this.positionStaged + PREALLOCATE_BYTES, this.#bytesMax)
      this.#sizeBytes = Math.max(this.positionStaged, ahead)
      this.#file.truncate(this.#sizeBytes)
    }
    if (views.length === 1) this.#file.write(views[0], 0, views[0].length, this.positionWritten)
    else this.#file.writeMany(views, this.positionWritten)
    this.positionWritten = this.positionStaged
  }

  sync(): void {
    this.#file.sync()
  }

  /** What `sealSegment` needs to seal it; nothing may be staged afterwards. */
  rolled(sealedMs: number): RolledSegment {
    assert(this.positionWritten === this.positionStaged, 'positionWritten === positionStaged before a roll')
    const { baseOffset, segmentId } = this.header
    const dataBytes = this.positionWritten
    return { baseOffset, dataBytes, index: this.#builder?.finish({ segmentId, baseOffset, dataBytes, sealedMs }) }
  }

  /** Gives back what was reserved ahead of the data and closes the file. */
  close(): void {
    try {
      if (this.#sizeBytes !== this.positionWritten) this.#file.truncate(this.positionWritten)
    } finally {
      this.#file.close()
    }
  }

  /** Closes the descriptor and leaves the file as it is. */
  abandon(): void {
    this.#file.close()
  }
}

// One object for all stamps: a writer thread stamps one batch at a time.
const stamp = { baseOffset: 0, acknowledgedOffset: 0, leaseEpoch: 0, segmentId: 0 }
