import path from 'node:path'
import { WalrusError } from '../errors.js'
import { batchEpoch } from '../format/batch.js'
import type { SegmentIndex } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import type { SegmentHeader } from '../format/segment-header.js'
import { IndexBuilder } from '../segment/index-builder.js'
import { OpenSegment } from '../segment/open-segment.js'
import { type Behind, classifyDamage, decideRecovery, type RecoveryMode } from '../segment/recovery.js'
import { findBatches, type ScanResult, scanSegment } from '../segment/scan.js'
import { loadIndex, readSegmentHeader, sealSegment } from '../segment/seal.js'
import {
  basesWithSuffix,
  INDEX_SUFFIX,
  indexFileName,
  PRODUCERS_SUFFIX,
  producersFileName,
  segmentBases,
  segmentFileName,
  TEMPORARY_SUFFIX,
} from '../segment/segment-name.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { removeSegments } from './cut-partition.js'
import type { KnownGood } from './known-good.js'

export interface RecoveryOptions {
  fs: FileSystem
  directory: string
  partition: number
  mode: RecoveryMode
  segmentBytes: number
  nowMs: number
  knownGood?: KnownGood
  /** Called for each whole batch found behind the known-good point, in order. */
  onBatch?: (region: Region, at: number, position: number) => void
}

export interface RecoveredPartition {
  /** Base offsets of all segments, ascending, the open one included. */
  bases: number[]
  /** Undefined: there is none to go on with, the next segment begins at `offsetNext`. */
  open: OpenSegment | undefined
  offsetNext: number
  /** Lease epoch of the last batch or segment; a new holder's is higher. */
  epochLast: number
  /** Bytes that were cut from torn tails. */
  cutBytes: number
}

/** One segment in recovery's hands. `place` is its index in `result.bases`. */
interface Segment {
  options: RecoveryOptions
  result: RecoveredPartition
  place: number
  base: number
  name: string
  file: OpenFile
}

/**
 * Brings a partition's directory to a state that can be appended to, and says what that is. Sealed segments are taken
 * by their index (those before the last one unseen); those without one are read, the older ones sealed, and the last one
 * is gone on with. Running it again, also after a crash in its middle, gives the same.
 */
export function recoverPartition(options: RecoveryOptions): RecoveredPartition {
  const { fs, directory } = options
  fs.makeDirectory(directory)
  const names = fs.list(directory)
  for (const base of basesWithSuffix(names, INDEX_SUFFIX + TEMPORARY_SUFFIX)) {
    fs.remove(path.join(directory, indexFileName(base) + TEMPORARY_SUFFIX))
  }
  for (const base of basesWithSuffix(names, PRODUCERS_SUFFIX + TEMPORARY_SUFFIX)) {
    fs.remove(path.join(directory, producersFileName(base) + TEMPORARY_SUFFIX))
  }
  const bases = segmentBases(names)
  const sealed = new Set(basesWithSuffix(names, INDEX_SUFFIX))
  dropOrphans(options, bases, sealed)
  const result: RecoveredPartition = { bases, open: undefined, offsetNext: bases[0] ?? 0, epochLast: 0, cutBytes: 0 }
  for (let place = firstToSee(options, bases, sealed); place < bases.length; place++) {
    const base = bases[place]
    const name = path.join(directory, segmentFileName(base))
    const segment = { options, result, place, base, name, file: fs.open(name, 'write') }
    result.offsetNext = base
    try {
      if (!sealed.has(base) || !takeSealed(segment)) recoverSegment(segment)
    } finally {
      if (result.open === undefined) segment.file.close()
    }
  }
  return result
}

/** The last sealed segment before the first unsealed one, or before it the one that the known-good point lies in. */
function firstToSee({ knownGood }: RecoveryOptions, bases: number[], sealed: Set<number>): number {
  const unsealed = bases.findIndex((base) => !sealed.has(base))
  const place = (unsealed === -1 ? bases.length : unsealed) - 1
  const known = knownGood ? bases.findIndex((base) => base >= knownGood.baseOffset) : -1
  return Math.max(known === -1 ? place : Math.min(place, known), 0)
}

/** An index without its segment must not speak for a later segment of that name. */
function dropOrphans({ fs, directory, mode }: RecoveryOptions, bases: number[], sealed: Set<number>): void {
  const isSegment = new Set(bases)
  for (const base of sealed) {
    if (isSegment.has(base)) continue
    const name = path.join(directory, segmentFileName(base))
    // Below the first segment, it is what an interrupted trim left.
    const isTrimmed = bases.length > 0 && base < bases[0]
    if (mode === 'strict' && !isTrimmed) throw corrupt(name, 0, base, 'is missing, and its index is there')
    fs.remove(path.join(directory, indexFileName(base)))
  }
}

/** Takes a segment by its index. Returns false where that is damaged and the mode lets it be dropped and made anew. */
function takeSealed(segment: Segment): boolean {
  const { options, result, base, name } = segment
  const { fs, directory, mode, knownGood } = options
  const header = soundHeader(segment)
  try {
    const index = loadIndex(fs, directory, base)!
    if (header === undefined) throw corrupt(name, 0, base, 'has no sound segment header')
    checkSealed(segment, index, header)
    if (knownGood !== undefined && knownGood.baseOffset <= base) visitSealed(segment, index)
    result.offsetNext = base + index.recordCount
    result.epochLast = Math.max(result.epochLast, index.epochLast)
  } catch (error) {
    if (mode === 'strict' || !(error instanceof WalrusError && error.code === 'SEGMENT_CORRUPT')) throw error
    fs.remove(path.join(directory, indexFileName(base)))
    fs.syncDirectory(directory)
    return false
  }
  joinNext(segment)
  return true
}

/** That index and segment speak of the same bytes. The bytes themselves are checked when they are read. */
function checkSealed({ name, base, file }: Segment, index: SegmentIndex, header: SegmentHeader): void {
  const { segmentId, baseOffset, dataBytes, recordCount } = index
  if (segmentId !== header.segmentId || baseOffset !== base)
    throw corrupt(name, 0, base, 'is not the segment of its index')
  const size = file.size()
  const offset = base + recordCount
  if (size < dataBytes) throw corrupt(name, size, offset, `ends at byte ${size}, its index says ${dataBytes}`)
  if (size === dataBytes) return
  // The seal's truncation may not have reached the disk; then what is behind is the reserve, which is zeros.
  const behind = scanSegment({ file, segmentId, position: dataBytes, offset })
  if (behind.position !== dataBytes || behind.damage !== undefined) {
    throw corrupt(name, dataBytes, offset, `goes on behind byte ${dataBytes}, where its index says that it ends`)
  }
  file.truncate(dataBytes)
}

/** Shows the caller what lies behind the known-good point in a segment that was sealed since. */
function visitSealed({ options, name, base, file }: Segment, index: SegmentIndex): void {
  const { knownGood, onBatch } = options
  const from = knownGood?.baseOffset === base ? knownGood : { position: SEGMENT_HEADER_BYTES, offset: base }
  const { segmentId, dataBytes } = index
  const scan = scanSegment({ file, segmentId, position: from.position, offset: from.offset, onBatch })
  if (scan.position !== dataBytes) throw corrupt(name, scan.position, scan.offsetNext, 'is damaged after it was sealed')
}

/** Reads a segment without index, and seals it or goes on in it. */
function recoverSegment(segment: Segment): void {
  const { options, result, place, base, name, file } = segment
  const { fs, directory } = options
  const header = soundHeader(segment)
  if (header === undefined) {
    decideHeaderless(segment)
    dropFrom(segment, place)
    return
  }
  result.epochLast = Math.max(result.epochLast, header.leaseEpoch)
  const known = options.knownGood?.baseOffset === base ? options.knownGood : undefined
  if (known !== undefined && known.position > file.size()) {
    throw corrupt(name, file.size(), known.offset, `ends before byte ${known.position}, up to which it was written`)
  }
  const builder = known === undefined ? new IndexBuilder() : undefined
  const scan = scanSegment({
    file,
    segmentId: header.segmentId,
    position: known?.position ?? SEGMENT_HEADER_BYTES,
    offset: known?.offset ?? base,
    onBatch: (region, at, position) => {
      builder?.add(region, at, position)
      result.epochLast = Math.max(result.epochLast, batchEpoch(region, at))
      options.onBatch?.(region, at, position)
    },
  })
  result.offsetNext = scan.offsetNext
  if (scan.damage !== undefined) cutDamage(segment, scan)
  const isJoined = joinNext(segment)
  file.sync()
  const state = { position: scan.position, offset: scan.offsetNext, builder, bytesMax: options.segmentBytes }
  if (!isJoined) {
    fs.syncDirectory(directory)
    result.open = OpenSegment.resume(file, name, header, state)
    return
  }
  const rolled = { segmentId: header.segmentId, baseOffset: base, dataBytes: scan.position, sealedMs: options.nowMs }
  sealSegment(fs, directory, { ...rolled, index: builder?.finish(rolled) }, options.nowMs)
}

/**
 * The segment's header; undefined where there is none. A file that is another segment's by its header is refused in every
 * mode: no recovery may remove it.
 */
function soundHeader({ options, base, name, file }: Pick<Segment, 'options' | 'base' | 'name' | 'file'>) {
  const header = readSegmentHeader(file, name)
  if (header !== undefined && (header.partition !== options.partition || header.baseOffset !== base)) {
    const { partition, baseOffset } = header
    throw misplaced(name, base, `is of partition ${partition} and begins with offset ${baseOffset} by its header`)
  }
  return header
}

/**
 * A file without header was being created when the power failed, unless something says that there was more: bytes in the
 * sector that the header shares with the first batch, or a batch that knew a record of this segment as acknowledged.
 */
function decideHeaderless(segment: Segment): void {
  const { options, place, base, name, file } = segment
  const sector = new Uint8Array(SECTOR_BYTES)
  const length = file.read(sector, 0, sector.length, 0)
  const hasFirstBatch = sector.subarray(SEGMENT_HEADER_BYTES, length).some((byte) => byte !== 0)
  const own = findBatches(file, undefined, base)
  const acknowledged = Math.max(own.acknowledgedOffset, acknowledgedFrom(segment, place + 1))
  const isProven = hasFirstBatch || acknowledged > base
  const behind: Behind = isProven ? 'acknowledged' : own.batchCount > 0 ? 'unacknowledged' : 'nothing'
  if (decideRecovery(options.mode, behind) !== 'cut') throw corrupt(name, 0, base, 'has no sound segment header')
}

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512

/** Cuts the segment at its damage, with all that follows it, or throws where the mode forbids it. */
function cutDamage(segment: Segment, scan: ScanResult): void {
  const { options, result, place, name, file } = segment
  const { position, offsetNext, damage, later } = scan
  const behind = classifyDamage(scan, acknowledgedFrom(segment, place + 1))
  if (decideRecovery(options.mode, behind) !== 'cut') {
    const lost =
      later.batchCount > 0 ? `, ${later.batchCount} whole batches follow from byte ${later.positionFirst}` : ''
    const proof = behind === 'acknowledged' ? ', and what is damaged had been acknowledged' : ''
    throw corrupt(
      name,
      position,
      offsetNext,
      `is damaged at byte ${position} of ${file.size()} (offset ${offsetNext}, ${damage?.reason})${lost}${proof}`,
    )
  }
  dropFrom(segment, place + 1)
  result.cutBytes += Math.max(file.size() - position, 0)
  file.truncate(position)
}

/**
 * Whether the next segment goes on where this one ends, as it does unless the end of this one was lost. Then what follows
 * is dropped, or the mode forbids it and this throws. Also false where this one is the last.
 */
function joinNext(segment: Segment): boolean {
  const { options, result, place } = segment
  const { offsetNext } = result
  const next = result.bases[place + 1]
  if (next === undefined) return false
  if (next === offsetNext) return true
  const name = path.join(options.directory, segmentFileName(next))
  if (next < offsetNext) throw misplaced(name, next, `begins inside the segment before it, which ends at ${offsetNext}`)
  const behind = acknowledgedFrom(segment, place + 1) > offsetNext ? 'acknowledged' : 'unacknowledged'
  if (decideRecovery(options.mode, behind) !== 'cut') {
    throw corrupt(name, 0, offsetNext, `begins with offset ${next}, ${offsetNext} expected`)
  }
  dropFrom(segment, place + 1)
  return false
}

/** The highest offset that any batch or header of the segments from `place` on knew as acknowledged. */
function acknowledgedFrom({ options, result }: Segment, place: number): number {
  let acknowledged = 0
  for (const base of result.bases.slice(place)) {
    const name = path.join(options.directory, segmentFileName(base))
    const file = options.fs.open(name, 'read')
    try {
      const header = soundHeader({ options, base, name, file })
      const found = findBatches(file, header?.segmentId, base)
      acknowledged = Math.max(acknowledged, header?.acknowledgedOffset ?? 0, found.acknowledgedOffset)
    } finally {
      file.close()
    }
  }
  return acknowledged
}

/** What follows a cut was never acknowledged, or the user gave it up: it goes, or its offsets would come twice. */
function dropFrom({ options, result }: Segment, place: number): void {
  removeSegments(options.fs, options.directory, result.bases.splice(place))
}

function corrupt(file: string, position: number, offset: number, what: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} ${what}; restore it from a copy, or keep one and open with recovery: 'tail' to go on from what is whole before it`,
    { file, position, offset },
  )
}

function misplaced(file: string, offset: number, what: string): WalrusError {
  return new WalrusError('SEGMENT_CORRUPT', `${file} ${what}; it does not belong there, move it out of the directory`, {
    file,
    position: 0,
    offset,
  })
}
