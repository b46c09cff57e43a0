import path from 'node:path'
import { WalrusError } from '../errors.js'
import type { SegmentGap } from '../format/gaps-file.js'
import type { Region } from '../format/region.js'
import type { SegmentHeader } from '../format/segment-header.js'
import type { OpenSegment } from '../segment/open-segment.js'
import type { RecoveryMode, Witness } from '../segment/recovery.js'
import { findBatches } from '../segment/scan.js'
import { readSegmentHeader } from '../segment/seal.js'
import { openSegmentFile } from '../segment/segment-file.js'
import { segmentFileName } from '../segment/segment-name.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { removeSegments } from './cut-partition.js'
import type { KnownGood } from './known-good.js'

// What the parts of a partition's recovery hand to one another.

export interface RecoveryOptions {
  fs: FileSystem
  directory: string
  partition: number
  mode: RecoveryMode
  segmentBytes: number
  nowMs: number
  knownGood?: KnownGood
  /** Nobody else works on the directory: of what an interrupted forgetting left, all but segments is taken away. */
  tidy?: boolean
  /** Base offsets of sealed segments that are read in spite of their index, which is then made anew. */
  suspects?: ReadonlySet<number>
  /** Called for each whole batch found behind the known-good point, in order. */
  onBatch?: (region: Region, at: number, position: number) => void
}

export interface RecoveredPartition {
  /** Base offsets of all segments, ascending, the open one included. */
  bases: number[]
  /** Those of sealed segments before them that are forgotten and still in the directory. */
  forgotten: number[]
  /** Undefined: there is none to go on with, the next segment begins at `offsetNext`. */
  open: OpenSegment | undefined
  /** First offset that exists. */
  offsetFirst: number
  offsetNext: number
  /** Lease epoch of the last batch or segment; a new holder's is higher. */
  epochLast: number
  /** Bytes that were cut from torn tails. */
  cutBytes: number
}

/** One segment in recovery's hands. `place` is its index in `result.bases`. */
export interface SegmentInHand {
  options: RecoveryOptions
  result: RecoveredPartition
  place: number
  base: number
  name: string
  file: OpenFile
  /** With mode `skip`: an index says that the segment's records went on up to here. */
  offsetEnd: number
}

/** Whose batches the segment's file is read for, and what is leapt over. */
export interface SegmentToRead {
  header: SegmentHeader
  gaps: readonly SegmentGap[]
}

/** Where the next segment begins, or an index says that it would. Undefined: nothing is known to follow. */
export function offsetBehind({ result, place, offsetEnd, base }: SegmentInHand): number | undefined {
  return result.bases[place + 1] ?? (offsetEnd > base ? offsetEnd : undefined)
}

/**
 * The segment's header; undefined where there is none. A file that is another segment's by its header is refused in every
 * mode: no recovery may remove it.
 */
export function soundHeader({
  options,
  base,
  name,
  file,
}: Pick<SegmentInHand, 'base' | 'name' | 'file'> & Pick<InRow, 'options'>): SegmentHeader | undefined {
  const header = readSegmentHeader(file, name)
  if (header !== undefined && (header.partition !== options.partition || header.baseOffset !== base)) {
    const { partition, baseOffset } = header
    throw misplaced(name, base, `is of partition ${partition} and begins with offset ${baseOffset} by its header`)
  }
  return header
}

/** A segment among its partition's. */
export interface InRow {
  options: Pick<RecoveryOptions, 'fs' | 'directory' | 'partition'>
  result: Pick<RecoveredPartition, 'bases'>
  place: number
}

/** What the segments behind this one say: their whole batches, and what any of those or their headers knew. */
export function witnessBehind({ options, result, place }: InRow): Witness {
  const witness = { batchCount: 0, acknowledgedOffset: 0 }
  for (const base of result.bases.slice(place + 1)) {
    const name = path.join(options.directory, segmentFileName(base))
    const file = openSegmentFile(options.fs, name, 'read')
    try {
      const header = soundHeader({ options, base, name, file })
      const found = findBatches(file, header?.segmentId, base)
      const known = Math.max(header?.acknowledgedOffset ?? 0, found.acknowledgedOffset)
      witness.acknowledgedOffset = Math.max(witness.acknowledgedOffset, known)
      witness.batchCount += found.batchCount
    } finally {
      file.close()
    }
  }
  return witness
}

/** What follows a cut was never acknowledged, or the user gave it up: it goes, or its offsets would come twice. */
export function dropFrom({ options, result }: SegmentInHand, place: number): void {
  removeSegments(options.fs, options.directory, result.bases.splice(place))
}

export function corrupt(file: string, position: number, offset: number, what: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} ${what}; restore it from a copy, or keep one and open with recovery: 'skip' to keep all that is whole, or with recovery: 'tail' to go on from what is whole before it`,
    { file, position, offset },
  )
}

export function misplaced(file: string, offset: number, what: string): WalrusError {
  return new WalrusError('SEGMENT_CORRUPT', `${file} ${what}; it does not belong there, move it out of the directory`, {
    file,
    position: 0,
    offset,
  })
}
