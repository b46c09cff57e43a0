import path from 'node:path'
import { WalrusError } from '../errors.js'
import { decodeIndex, encodeIndex, type SegmentIndex } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { Region } from '../format/region.js'
import { decodeSegmentHeader, type SegmentHeader } from '../format/segment-header.js'
import { INDEX_BYTES_MAX } from '../limits.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'
import { rebuildIndex } from './rebuild-index.js'
import { openSegmentFile } from './segment-file.js'
import { indexFileName, producersFileName, segmentFileName } from './segment-name.js'

/** A segment that takes no more writes and is not sealed yet. */
export interface RolledSegment {
  baseOffset: number
  /** Length of header and batches; what the file has behind it is cut off. */
  dataBytes: number
  /** Undefined where the writer did not see the whole segment (it took it over): then the file is read once more. */
  index: SegmentIndex | undefined
  /** Bytes of the `.producers` file; left out where there is nothing to keep, or nobody knows: then it is made at open. */
  producers?: Uint8Array
}

/**
 * Seals a segment: its bytes become durable, then its index does, then the index gets its name. A crash at any point
 * leaves a segment without an index, which the next open scans and seals. May run in another thread than the writer's.
 */
export function sealSegment(fs: FileSystem, directory: string, rolled: RolledSegment, nowMs: number): SegmentIndex {
  const file = openSegmentFile(fs, path.join(directory, segmentFileName(rolled.baseOffset)), 'write')
  try {
    const size = file.size()
    if (size < rolled.dataBytes) throw shorter(directory, rolled, size)
    if (size > rolled.dataBytes) file.truncate(rolled.dataBytes)
    file.sync()
    // Or a system that orders a directory's changes as it likes could keep the index and lose the segment.
    fs.syncDirectory(directory)
    // Before the index, which says that all of the seal is there.
    if (rolled.producers !== undefined) {
      publishFile(fs, directory, producersFileName(rolled.baseOffset), rolled.producers)
    }
    const index = rolled.index ?? buildIndex(file, directory, rolled, nowMs)
    publishFile(fs, directory, indexFileName(index.baseOffset), encodeIndex(index))
    return index
  } finally {
    file.close()
  }
}

/** Reads a sealed segment's index; undefined where the segment has none. */
export function loadIndex(fs: FileSystem, directory: string, baseOffset: number): SegmentIndex | undefined {
  const name = path.join(directory, indexFileName(baseOffset))
  if (!fs.exists(name)) return undefined
  return decodeIndex(readWholeFile(fs, name, INDEX_BYTES_MAX), name)
}

/** Reads the header of a segment's file; undefined where there is no sound one. */
export function readSegmentHeader(file: OpenFile, name: string): SegmentHeader | undefined {
  const region = Region.allocate(SEGMENT_HEADER_BYTES)
  return decodeSegmentHeader(region, 0, file.read(region.u8, 0, SEGMENT_HEADER_BYTES, 0), name)
}

/** The same of the segment that begins with `baseOffset`. */
export function loadSegmentHeader(fs: FileSystem, directory: string, baseOffset: number): SegmentHeader | undefined {
  const name = path.join(directory, segmentFileName(baseOffset))
  const file = openSegmentFile(fs, name, 'read')
  try {
    return readSegmentHeader(file, name)
  } finally {
    file.close()
  }
}

function buildIndex(file: OpenFile, directory: string, rolled: RolledSegment, sealedMs: number): SegmentIndex {
  const name = path.join(directory, segmentFileName(rolled.baseOffset))
  const header = readSegmentHeader(file, name)
  if (header === undefined) throw shorter(directory, rolled, 0)
  const { segmentId, generation } = header
  const { baseOffset } = rolled
  const { index, scan } = rebuildIndex(file, { segmentId, baseOffset, sealedMs, generation })
  if (scan.position !== rolled.dataBytes) throw shorter(directory, rolled, scan.position, scan.offsetNext)
  return index
}

function shorter(directory: string, rolled: RolledSegment, position: number, offset = rolled.baseOffset): WalrusError {
  const file = path.join(directory, segmentFileName(rolled.baseOffset))
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is whole up to byte ${position} only, ${rolled.dataBytes} bytes were written; keep a copy of the file and open with recovery: 'tail'`,
    { file, position, offset },
  )
}
