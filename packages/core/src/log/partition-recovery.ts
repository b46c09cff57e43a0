import path from 'node:path'
import { isWalrusError } from '../errors.js'
import { batchEpoch } from '../format/batch.js'
import { COMPACTION_STATE_FILE } from '../format/compaction-state.js'
import type { SegmentGap, SegmentGaps } from '../format/gaps-file.js'
import type { SegmentIndex } from '../format/index-file.js'
import { ALIGNMENT_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { SegmentHeader } from '../format/segment-header.js'
import { inflateSegment } from '../segment/compress-segment.js'
import { isHeaderGivenUp, loadGaps, publishGaps, unlessDamaged } from '../segment/gaps.js'
import { IndexBuilder, type SealedSegment } from '../segment/index-builder.js'
import { OpenSegment } from '../segment/open-segment.js'
import { classifyDamage, decideRecovery } from '../segment/recovery.js'
import { finishReplacement } from '../segment/replace-segment.js'
import { rewrite, UnprovenTail } from '../segment/rewrite.js'
import { contentEnd, type ScanResult, scanSegment } from '../segment/scan.js'
import { loadIndex, type RolledSegment, sealSegment } from '../segment/seal.js'
import { isCompressed, openSegmentFile } from '../segment/segment-file.js'
import {
  basesWithSuffix,
  GAPS_SUFFIX,
  gapsFileName,
  INDEX_SUFFIX,
  INDEX_TO_COME_SUFFIX,
  indexFileName,
  indexToComeFileName,
  PRODUCERS_SUFFIX,
  producersFileName,
  SEGMENT_SUFFIX,
  segmentBases,
  segmentFileName,
  TEMPORARY_SUFFIX,
} from '../segment/segment-name.js'
import { removeIfThere } from './forget.js'
import { forgetBefore, settleFirst } from './forgotten.js'
import { decideHeaderless, withoutHeader } from './lost-header.js'
import {
  corrupt,
  dropFrom,
  misplaced,
  offsetBehind,
  type RecoveredPartition,
  type RecoveryOptions,
  type SegmentInHand,
  type SegmentToRead,
  soundHeader,
  witnessBehind,
} from './recovered-segment.js'

export type { RecoveredPartition, RecoveryOptions } from './recovered-segment.js'

/**
 * Brings a partition's directory to a state that can be appended to, and says what that is. Sealed segments are taken
 * by their index (with mode `strict`, those before the last one unseen); those without one are read, the older ones sealed, and the last one
 * is gone on with. Running it again, also after a crash in its middle, gives the same.
 */
export function recoverPartition(options: RecoveryOptions): RecoveredPartition {
  const { fs, directory } = options
  fs.makeDirectory(directory)
  const names = fs.list(directory)
  for (const name of names) {
    if (COMPANION_BEING_WRITTEN.test(name)) fs.remove(path.join(directory, name))
  }
  for (const base of basesWithSuffix(names, PRODUCERS_SUFFIX + TEMPORARY_SUFFIX)) {
    fs.remove(path.join(directory, producersFileName(base) + TEMPORARY_SUFFIX))
  }
  // Of a partition in use, the reader pool may be writing it at this moment.
  for (const base of options.tidy ? basesWithSuffix(names, SEGMENT_SUFFIX + TEMPORARY_SUFFIX) : []) {
    fs.remove(path.join(directory, segmentFileName(base) + TEMPORARY_SUFFIX))
  }
  for (const base of options.tidy ? basesWithSuffix(names, INDEX_TO_COME_SUFFIX) : [])
    finishReplacement(fs, directory, base)
  for (const base of options.tidy ? basesWithSuffix(names, INDEX_TO_COME_SUFFIX + TEMPORARY_SUFFIX) : []) {
    fs.remove(path.join(directory, indexToComeFileName(base) + TEMPORARY_SUFFIX))
  }
  const compaction = COMPACTION_STATE_FILE + TEMPORARY_SUFFIX
  if (options.tidy && names.includes(compaction)) fs.remove(path.join(directory, compaction))
  const bases = segmentBases(names)
  const sealed = new Set(basesWithSuffix(names, INDEX_SUFFIX))
  const { offsetFirst, forgotten } = forgetBefore(options, bases, sealed)
  const isSegment = new Set([...forgotten, ...bases])
  for (const base of basesWithSuffix(names, GAPS_SUFFIX)) {
    // Below the first segment, it is on its way out, maybe in another thread's hands at this moment.
    const isMine = options.tidy || base >= (bases[0] ?? 0)
    if (!isSegment.has(base) && isMine) removeIfThere(fs, path.join(directory, gapsFileName(base)))
  }
  const orphans = [...sealed].filter((base) => !isSegment.has(base))
  if (options.mode !== 'skip') dropOrphans(options, bases, orphans)
  const offsetEnd = options.mode === 'skip' ? endOfOrphans(options, orphans) : 0
  const result: RecoveredPartition = {
    bases,
    forgotten,
    open: undefined,
    offsetFirst: Math.max(offsetFirst, bases[0] ?? 0),
    offsetNext: bases[0] ?? Math.max(offsetEnd, offsetFirst),
    epochLast: 0,
    cutBytes: 0,
  }
  for (let place = firstToSee(options, bases, sealed); place < bases.length; place++) {
    const base = bases[place]
    const name = path.join(directory, segmentFileName(base))
    const segment: SegmentInHand = {
      options,
      result,
      place,
      base,
      name,
      file: openSegmentFile(fs, name, 'write'),
      offsetEnd: 0,
    }
    if (place === bases.length - 1) segment.offsetEnd = offsetEnd
    result.offsetNext = base
    try {
      if (!sealed.has(base) || !takeSealed(segment)) recoverSegment(segment)
    } finally {
      if (result.open === undefined) segment.file.close()
    }
  }
  // What an orphan says is written down in a gap by now, unless there is no segment that could have one.
  if (options.mode === 'skip' && bases.length > 0) dropOrphans(options, bases, orphans)
  // Also without any segment: an earlier process may have removed the last ones, and died before that was durable.
  if (result.open === undefined) fs.syncDirectory(directory)
  settleFirst(options, result)
  return result
}

const COMPANION_BEING_WRITTEN = new RegExp(`^\\d{20}(\\${INDEX_SUFFIX}|\\${GAPS_SUFFIX})\\${TEMPORARY_SUFFIX}$`)

/**
 * The last sealed segment before the first unsealed one, or before it the one that the known-good point lies in. Modes
 * that mend see all: what they leave has to open strictly, which may then look at an earlier one.
 */
function firstToSee({ mode, knownGood }: RecoveryOptions, bases: number[], sealed: Set<number>): number {
  if (mode !== 'strict' && knownGood === undefined) return 0
  const unsealed = bases.findIndex((base) => !sealed.has(base))
  const place = (unsealed === -1 ? bases.length : unsealed) - 1
  const known = knownGood ? bases.findIndex((base) => base >= knownGood.baseOffset) : -1
  return Math.max(known === -1 ? place : Math.min(place, known), 0)
}

/** An index without its segment must not speak for a later segment of that name. */
function dropOrphans({ fs, directory, mode }: RecoveryOptions, bases: number[], orphans: number[]): void {
  for (const base of orphans) {
    const name = path.join(directory, segmentFileName(base))
    // Below the first segment, it is what an interrupted trim left.
    const isTrimmed = bases.length > 0 && base < bases[0]
    if (mode === 'strict' && !isTrimmed) throw corrupt(name, 0, base, 'is missing, and its index is there')
    fs.remove(path.join(directory, indexFileName(base)))
  }
}

/** Where the records end that the indexes of missing segments tell of. */
function endOfOrphans({ fs, directory }: RecoveryOptions, orphans: number[]): number {
  const ends = orphans.map((base) => {
    const index = unlessDamaged(true, () => loadIndex(fs, directory, base))
    return index?.baseOffset === base ? base + index.recordCount : base
  })
  return Math.max(0, ...ends)
}

/** Takes a segment by its index. Returns false where that is damaged and the mode lets it be made anew. */
function takeSealed(segment: SegmentInHand): boolean {
  const { options, result, base, name } = segment
  const { fs, directory, mode, knownGood } = options
  const sound = soundHeader(segment)
  let index: SegmentIndex | undefined
  try {
    index = loadIndex(fs, directory, base)!
    const read = toRead(segment, sound, false)
    if (read === undefined) throw corrupt(name, 0, base, 'has no sound segment header')
    checkSealed(segment, index, read.header)
    if (knownGood !== undefined && knownGood.baseOffset <= base) visitSealed(segment, index, read.gaps)
    result.offsetNext = base + index.recordCount
    result.epochLast = Math.max(result.epochLast, index.epochLast)
    if (options.suspects?.has(base)) throw corrupt(name, 0, base, 'is to be read')
    // What is missing behind it goes down in its gaps.
    const behind = offsetBehind(segment)
    if (mode === 'skip' && behind !== undefined && behind > result.offsetNext) return false
  } catch (error) {
    if (mode === 'strict' || !(isWalrusError(error) && error.code === 'SEGMENT_CORRUPT')) throw error
    if (mode === 'tail') {
      fs.remove(path.join(directory, indexFileName(base)))
      fs.syncDirectory(directory)
    } else if (index?.baseOffset === base && (sound === undefined || sound.segmentId === index.segmentId)) {
      segment.offsetEnd = Math.max(segment.offsetEnd, base + index.recordCount)
    }
    return false
  }
  joinNext(segment)
  return true
}

/** How the segment is read; undefined where its header is neither sound nor given up. */
function toRead(
  segment: SegmentInHand,
  header: SegmentHeader | undefined,
  forgiving: boolean,
): SegmentToRead | undefined {
  const { fs, directory } = segment.options
  const known = unlessDamaged(forgiving, () => loadGaps(fs, directory, segment.base))
  if (header === undefined) {
    if (known === undefined || !isHeaderGivenUp(known.gaps)) return undefined
    return { ...withoutHeader(segment, known.segmentId), gaps: known.gaps }
  }
  // Gaps of another segment of that name are not this one's.
  return { header, gaps: known?.segmentId === header.segmentId ? known.gaps : [] }
}

/** That index and segment speak of the same bytes. The bytes themselves are checked when they are read. */
function checkSealed({ name, base, file }: SegmentInHand, index: SegmentIndex, header: SegmentHeader): void {
  const { segmentId, baseOffset, dataBytes, recordCount } = index
  if (segmentId !== header.segmentId || baseOffset !== base || index.generation !== header.generation)
    throw corrupt(name, 0, base, 'is not the segment of its index')
  const size = file.size()
  const offset = base + recordCount
  if (size < dataBytes) throw corrupt(name, size, offset, `ends at byte ${size}, its index says ${dataBytes}`)
  if (size === dataBytes) return
  // The seal's truncation may not have reached the disk; then what is behind is the reserve, which is zeros.
  const behind = scanSegment({ file, segmentId, position: dataBytes, offset })
  if (behind.position !== dataBytes || behind.damage !== undefined || isCompressed(file)) {
    throw corrupt(name, dataBytes, offset, `goes on behind byte ${dataBytes}, where its index says that it ends`)
  }
  file.truncate(dataBytes)
}

/** Shows the caller what lies behind the known-good point in a segment that was sealed since. */
function visitSealed(
  { options, name, base, file }: SegmentInHand,
  index: SegmentIndex,
  gaps: readonly SegmentGap[],
): void {
  const { knownGood, onBatch } = options
  const from = knownGood?.baseOffset === base ? knownGood : { position: SEGMENT_HEADER_BYTES, offset: base }
  const { segmentId, dataBytes } = index
  const scan = scanSegment({ file, segmentId, position: from.position, offset: from.offset, gaps, onBatch })
  if (scan.position !== dataBytes) throw corrupt(name, scan.position, scan.offsetNext, 'is damaged after it was sealed')
}

/** Reads a segment without index, and seals it or goes on in it. */
function recoverSegment(segment: SegmentInHand): void {
  const { options, result, place, base, name, file } = segment
  const read = toRead(segment, soundHeader(segment), options.mode !== 'strict') ?? decideHeaderless(segment)
  if (read === undefined) {
    dropFrom(segment, place)
    return
  }
  const { header } = read
  result.epochLast = Math.max(result.epochLast, header.leaseEpoch)
  const known = options.knownGood?.baseOffset === base ? options.knownGood : undefined
  if (known !== undefined && known.position > file.size()) {
    throw corrupt(name, file.size(), known.offset, `ends before byte ${known.position}, up to which it was written`)
  }
  const builder = known === undefined ? new IndexBuilder() : undefined
  const unproven = new UnprovenTail()
  const from = known?.position ?? SEGMENT_HEADER_BYTES
  const scan = scanSegment({
    file,
    segmentId: header.segmentId,
    position: from,
    offset: known?.offset ?? base,
    gaps: read.gaps,
    skip: options.mode === 'skip',
    onBatch: (region, at, position) => {
      builder?.add(region, at, position)
      unproven.add(region, at, position)
      result.epochLast = Math.max(result.epochLast, batchEpoch(region, at))
      options.onBatch?.(region, at, position)
    },
  })
  result.offsetNext = scan.offsetNext
  const gaps = [...read.gaps.filter(({ positionFrom }) => positionFrom < from), ...scan.gaps]
  const lost = options.mode === 'skip' ? gapAtEnd(segment, scan) : undefined
  if (lost !== undefined) gaps.push(lost)
  else if (scan.damage !== undefined) cutDamage(segment, scan)
  result.offsetNext = lost?.offsetTo ?? scan.offsetNext
  const dataBytes = lost?.positionTo ?? scan.position
  const isJoined = joinNext(segment)
  if (gaps.length > 0 && result.offsetNext === base && !isJoined) {
    // Nothing is left of it but what is given up, without a record among it.
    dropFrom(segment, place)
    return
  }
  if (gaps.length === 0 && !isJoined) makeRaw(segment)
  rewriteUnproven(segment, unproven.position ?? dataBytes, dataBytes)
  writeDownGaps(segment, { segmentId: header.segmentId, baseOffset: base, gaps })
  segment.file.sync()
  const { segmentId, generation } = header
  const rolled = { segmentId, baseOffset: base, dataBytes, sealedMs: options.nowMs, generation }
  if (gaps.length > 0) seal(segment, { ...rolled, index: indexOverGaps(segment, rolled, gaps) })
  else if (isJoined) seal(segment, { ...rolled, index: builder?.finish(rolled) })
  else resume(segment, header, builder, scan)
}

/** What nothing proves to have been synced is written once more, the header with it: see `rewrite`. */
function rewriteUnproven({ file }: SegmentInHand, position: number, dataBytes: number): void {
  // It was synced and read back before it had its name.
  if (isCompressed(file)) return
  rewrite(file, 0, Math.min(SEGMENT_HEADER_BYTES, dataBytes))
  rewrite(file, position, dataBytes)
}

/** With mode `skip`: what the segment has lost at its end, by what comes behind it. Undefined: nothing. */
function gapAtEnd(segment: SegmentInHand, { position, offsetNext, damage }: ScanResult): SegmentGap | undefined {
  const { file } = segment
  const offsetTo = offsetBehind(segment) ?? offsetNext
  const kind = damage === undefined ? 'nothing' : classifyDamage(offsetNext, witnessBehind(segment))
  const isKept = decideRecovery('skip', kind) === 'keep-and-skip'
  if (offsetTo <= offsetNext && !isKept) return undefined
  const end = damage === undefined ? position : Math.ceil(contentEnd(file) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
  const positionTo = Math.max(Math.min(end, file.size()), position)
  return { positionFrom: position, positionTo, offsetFrom: offsetNext, offsetTo: Math.max(offsetTo, offsetNext) }
}

/** Before the seal, so that whoever finds the segment sealed finds its gaps as well. */
function writeDownGaps({ options: { fs, directory }, base }: SegmentInHand, gaps: SegmentGaps): void {
  const isThere = fs.exists(path.join(directory, gapsFileName(base)))
  if (gaps.gaps.length > 0) {
    const known = isThere ? unlessDamaged(true, () => loadGaps(fs, directory, base)) : undefined
    if (JSON.stringify(known) !== JSON.stringify(gaps)) publishGaps(fs, directory, gaps)
  } else if (isThere) {
    fs.remove(path.join(directory, gapsFileName(base)))
    fs.syncDirectory(directory)
  }
}

/** The index of a segment with gaps counts the offsets that it spans; batches and digest are those that are there. */
function indexOverGaps(
  { file, base, result }: SegmentInHand,
  rolled: SealedSegment,
  gaps: readonly SegmentGap[],
): SegmentIndex {
  const builder = new IndexBuilder()
  const { segmentId } = rolled
  const onBatch = builder.add.bind(builder)
  scanSegment({ file, segmentId, position: SEGMENT_HEADER_BYTES, offset: base, gaps, onBatch })
  return { ...builder.finish(rolled), recordCount: result.offsetNext - base }
}

function seal({ options: { fs, directory, nowMs } }: SegmentInHand, rolled: RolledSegment): void {
  sealSegment(fs, directory, rolled, nowMs)
}

function resume(
  { options, result, base, name, file }: SegmentInHand,
  header: SegmentHeader,
  builder: IndexBuilder | undefined,
  scan: ScanResult,
): void {
  const { fs, directory } = options
  const index = path.join(directory, indexFileName(base))
  if (fs.exists(index)) fs.remove(index)
  fs.syncDirectory(directory)
  const state = { position: scan.position, offset: scan.offsetNext, builder, bytesMax: options.segmentBytes }
  result.open = OpenSegment.resume(file, name, header, state)
}

/** Cuts the segment at its damage, with all that follows it, or throws where the mode forbids it. */
function cutDamage(segment: SegmentInHand, scan: ScanResult): void {
  const { options, result, place, name, file } = segment
  const { position, offsetNext, damage, later } = scan
  const behind = classifyDamage(offsetNext, later, witnessBehind(segment))
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
  makeRaw(segment, position)
  segment.file.truncate(position)
}

/** A compressed file is read as it is, but cannot be cut or gone on with: the raw one takes its place. */
function makeRaw(segment: SegmentInHand, rawBytes?: number): void {
  const { options, base, name, file } = segment
  if (!isCompressed(file)) return
  inflateSegment(options.fs, options.directory, base, rawBytes)
  segment.file = options.fs.open(name, 'write')
  file.close()
}

/**
 * Whether the next segment goes on where this one ends, as it does unless the end of this one was lost. Then what follows
 * is dropped, or the mode forbids it and this throws. Also false where this one is the last.
 */
function joinNext(segment: SegmentInHand): boolean {
  const { options, result, place } = segment
  const { offsetNext } = result
  const next = result.bases[place + 1]
  if (next === undefined) return false
  if (next === offsetNext) return true
  const name = path.join(options.directory, segmentFileName(next))
  if (next < offsetNext) throw misplaced(name, next, `begins inside the segment before it, which ends at ${offsetNext}`)
  const behind = classifyDamage(offsetNext, witnessBehind(segment))
  if (decideRecovery(options.mode, behind) !== 'cut') {
    throw corrupt(name, 0, offsetNext, `begins with offset ${next}, ${offsetNext} expected`)
  }
  dropFrom(segment, place + 1)
  return false
}
