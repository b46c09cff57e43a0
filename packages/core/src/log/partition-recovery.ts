import path from 'node:path'
import { WalrusError } from '../errors.js'
import { batchAcknowledgedOffset } from '../format/batch.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import { IndexBuilder } from '../segment/index-builder.js'
import { OpenSegment } from '../segment/open-segment.js'
import { classifyDamage, decideRecovery, type RecoveryMode } from '../segment/recovery.js'
import { type ScanResult, scanSegment } from '../segment/scan.js'
import { loadIndex, readSegmentHeader, sealSegment } from '../segment/seal.js'
import { indexFileName, segmentBases, segmentFileName, TEMPORARY_SUFFIX } from '../segment/segment-name.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'

/** A point up to which a segment's bytes are known to be whole: recovery begins to read there. */
export interface KnownGood {
  baseOffset: number
  position: number
  offset: number
}

export interface RecoveryOptions {
  fs: FileSystem
  directory: string
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

/**
 * Brings a partition's directory to a state that can be appended to, and says what that is. Sealed segments are taken
 * by their index; those without one are read, the older ones sealed, and the last one is gone on with. Running it again,
 * also after a crash in its middle, gives the same.
 */
export function recoverPartition(options: RecoveryOptions): RecoveredPartition {
  const { fs, directory } = options
  fs.makeDirectory(directory)
  const names = fs.list(directory)
  for (const name of names) if (name.endsWith(TEMPORARY_SUFFIX)) fs.remove(path.join(directory, name))
  const bases = segmentBases(names)
  const sealed = new Set(names)
  let firstUnsealed = bases.length
  while (firstUnsealed > 0 && !sealed.has(indexFileName(bases[firstUnsealed - 1]))) firstUnsealed--
  const result: RecoveredPartition = { bases, open: undefined, offsetNext: bases[0] ?? 0, epochLast: 0, cutBytes: 0 }
  if (firstUnsealed > 0) {
    const index = loadIndex(fs, directory, bases[firstUnsealed - 1])!
    result.offsetNext = index.baseOffset + index.recordCount
    result.epochLast = index.epochLast
  }
  if (options.knownGood !== undefined) visitSealed(options, options.knownGood, bases.slice(0, firstUnsealed))
  for (let position = firstUnsealed; position < bases.length; position++) {
    if (!recoverSegment(options, result, position)) {
      // What follows a cut was never acknowledged, or the user gave it up: it goes, or its offsets would come twice.
      for (const base of bases.splice(position + 1)) fs.remove(path.join(directory, segmentFileName(base)))
      fs.syncDirectory(directory)
      break
    }
  }
  return result
}

/** Shows the caller what lies behind the known-good point in segments that were sealed since. */
function visitSealed(options: RecoveryOptions, known: KnownGood, sealedBases: number[]): void {
  for (const base of sealedBases) {
    if (base < known.baseOffset) continue
    const name = path.join(options.directory, segmentFileName(base))
    const file = options.fs.open(name, 'read')
    try {
      const header = readSegmentHeader(file, name)
      if (header === undefined) throw corrupt(name, 0, base, 'has no sound segment header')
      const from = base === known.baseOffset ? known : { position: SEGMENT_HEADER_BYTES, offset: base }
      scanSegment({ file, segmentId: header.segmentId, ...from, onBatch: options.onBatch })
    } finally {
      file.close()
    }
  }
}

/** Returns false where the segment was cut: no later one may stay. */
function recoverSegment(options: RecoveryOptions, result: RecoveredPartition, place: number): boolean {
  const { fs, directory, segmentBytes } = options
  const base = result.bases[place]
  const isLast = place === result.bases.length - 1
  const name = path.join(directory, segmentFileName(base))
  if (base !== result.offsetNext) {
    if (options.mode === 'strict' || base < result.offsetNext) {
      throw corrupt(name, 0, result.offsetNext, `begins with offset ${base}, ${result.offsetNext} expected`)
    }
    result.bases.splice(place)
    fs.remove(name)
    return false
  }
  const file = fs.open(name, 'write')
  let kept = false
  try {
    const header = readSegmentHeader(file, name)
    if (header === undefined || header.baseOffset !== base) {
      refuseUnlessTornCreation(options, file, name, base, isLast)
      file.truncate(0)
      fs.remove(name)
      fs.syncDirectory(directory)
      result.bases.splice(place, 1)
      return false
    }
    const known = options.knownGood?.baseOffset === base ? options.knownGood : undefined
    const builder = known === undefined ? new IndexBuilder() : undefined
    const scan = scanSegment({
      file,
      segmentId: header.segmentId,
      position: known?.position ?? SEGMENT_HEADER_BYTES,
      offset: known?.offset ?? base,
      onBatch: (region, at, position) => {
        builder?.add(region, at, position)
        options.onBatch?.(region, at, position)
      },
    })
    result.offsetNext = scan.offsetNext
    result.epochLast = Math.max(result.epochLast, header.leaseEpoch, builder?.epochLast ?? 0)
    const whole = scan.damage === undefined
    if (!whole) {
      cutDamage(options, file, name, scan, acknowledgedLater(options, result.bases, place))
      result.cutBytes += Math.max(file.size() - scan.position, 0)
      file.truncate(scan.position)
    }
    file.sync()
    if (isLast || !whole) {
      const state = { position: scan.position, offset: scan.offsetNext, builder, bytesMax: segmentBytes }
      result.open = OpenSegment.resume(file, name, header, state)
      kept = true
      fs.syncDirectory(directory)
      return whole
    }
    const rolled = { segmentId: header.segmentId, baseOffset: base, dataBytes: scan.position, sealedMs: options.nowMs }
    sealSegment(fs, directory, { ...rolled, index: builder?.finish(rolled) }, options.nowMs)
    return true
  } finally {
    if (!kept) file.close()
  }
}

/** A file whose header is not there holds nothing if it is the last and has no batch: its creation was cut short. */
function refuseUnlessTornCreation(
  options: RecoveryOptions,
  file: OpenFile,
  name: string,
  base: number,
  isLast: boolean,
): void {
  if (options.mode !== 'strict') return
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES + 8)
  const length = file.read(bytes, 0, bytes.length, 0)
  if (isLast && bytes.subarray(SEGMENT_HEADER_BYTES, length).every((byte) => byte === 0)) return
  throw corrupt(name, 0, base, 'has no sound segment header')
}

/** Returns where the damage may be cut, throws where the mode forbids it. */
function cutDamage(options: RecoveryOptions, file: OpenFile, name: string, scan: ScanResult, later: number): void {
  const behind = classifyDamage(scan, later)
  if (decideRecovery(options.mode, behind) === 'cut') return
  const { damage } = scan
  const size = file.size()
  const lost =
    scan.later.batchCount > 0
      ? `, ${scan.later.batchCount} whole batches follow from byte ${scan.later.positionFirst}`
      : ''
  throw corrupt(
    name,
    scan.position,
    scan.offsetNext,
    `is damaged at byte ${scan.position} of ${size} (offset ${scan.offsetNext}, ${damage?.reason})${lost}, and what is damaged had been acknowledged`,
  )
}

/** The highest offset that the segments behind `place` knew as acknowledged when they began. */
function acknowledgedLater(options: RecoveryOptions, bases: number[], place: number): number {
  let acknowledged = 0
  const onBatch = (region: Region, at: number): void => {
    acknowledged = Math.max(acknowledged, batchAcknowledgedOffset(region, at))
  }
  for (const base of bases.slice(place + 1)) {
    const name = path.join(options.directory, segmentFileName(base))
    const file = options.fs.open(name, 'read')
    try {
      const header = readSegmentHeader(file, name)
      if (header === undefined) continue
      const scan = scanSegment({
        file,
        segmentId: header.segmentId,
        position: SEGMENT_HEADER_BYTES,
        offset: base,
        onBatch,
      })
      acknowledged = Math.max(acknowledged, header.acknowledgedOffset, scan.later.acknowledgedOffset)
    } finally {
      file.close()
    }
  }
  return acknowledged
}

function corrupt(file: string, position: number, offset: number, what: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} ${what}; restore it from a copy, or keep one and open with recovery: 'tail' to go on from what is whole before it`,
    { file, position, offset },
  )
}
