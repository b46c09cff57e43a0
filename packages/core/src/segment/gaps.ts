import path from 'node:path'
import { isWalrusError } from '../errors.js'
import { decodeGaps, encodeGaps, GAPS_BYTES_MAX, type SegmentGap, type SegmentGaps } from '../format/gaps-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'
import { findSegmentId } from './scan.js'
import { loadIndex, readSegmentHeader } from './seal.js'
import { gapsFileName } from './segment-name.js'

/** Reads what of a segment was given up; undefined where nothing was. Throws `SEGMENT_CORRUPT` for a damaged file. */
export function loadGaps(fs: FileSystem, directory: string, baseOffset: number): SegmentGaps | undefined {
  const name = path.join(directory, gapsFileName(baseOffset))
  if (!fs.exists(name)) return undefined
  return decodeGaps(readWholeFile(fs, name, GAPS_BYTES_MAX), name)
}

/** Writes down, for good, what of a segment is given up. */
export function publishGaps(fs: FileSystem, directory: string, gaps: SegmentGaps): void {
  publishFile(fs, directory, gapsFileName(gaps.baseOffset), encodeGaps(gaps))
}

/** Whose batches a segment's file holds, and what of it is given up. */
export interface SegmentIdentity {
  segmentId: number
  gaps: SegmentGap[]
  /** See `SegmentHeader`. */
  generation?: number
}

/** Whether the segment's header is among what was given up. */
export function isHeaderGivenUp(gaps: readonly SegmentGap[]): boolean {
  return gaps[0]?.positionFrom === 0
}

/** The header as a stretch of its own: bytes without records. */
export function headerGap(baseOffset: number): SegmentGap {
  return { offsetFrom: baseOffset, offsetTo: baseOffset, positionFrom: 0, positionTo: SEGMENT_HEADER_BYTES }
}

/**
 * Finds out whose batches the file holds: its header says so; where that was given up, the gaps file does. With `skip`,
 * also its index or the batches themselves may say so, and damaged companions are taken as not there.
 */
export function identifySegment(
  fs: FileSystem,
  directory: string,
  baseOffset: number,
  file: OpenFile,
  { name, skip }: { name: string; skip: boolean },
): SegmentIdentity | undefined {
  const header = readSegmentHeader(file, name)
  const known = unlessDamaged(skip, () => loadGaps(fs, directory, baseOffset))
  if (header !== undefined) {
    if (header.baseOffset !== baseOffset) return undefined
    // Gaps of another segment of that name are not this one's.
    const { segmentId, generation } = header
    return { segmentId, generation, gaps: known?.segmentId === segmentId ? known.gaps : [] }
  }
  if (known !== undefined && isHeaderGivenUp(known.gaps)) return { segmentId: known.segmentId, gaps: known.gaps }
  if (!skip) return undefined
  const segmentId =
    unlessDamaged(true, () => loadIndex(fs, directory, baseOffset))?.segmentId ?? findSegmentId(file, baseOffset)
  return segmentId === undefined ? undefined : { segmentId, gaps: [headerGap(baseOffset)] }
}

/** What `load` gives; undefined for a damaged file where `skip` says that such a one is as good as none. */
export function unlessDamaged<Loaded>(skip: boolean, load: () => Loaded): Loaded | undefined {
  try {
    return load()
  } catch (error) {
    if (skip && isWalrusError(error) && error.code === 'SEGMENT_CORRUPT') return undefined
    throw error
  }
}
