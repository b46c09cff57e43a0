import path from 'node:path'
import { isWalrusError } from '../errors.js'
import {
  COMPACTION_STATE_BYTES,
  COMPACTION_STATE_FILE,
  type CompactionState,
  decodeCompactionState,
  encodeCompactionState,
} from '../format/compaction-state.js'
import type { SegmentIndex } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import { rewritableBases } from '../log/forget.js'
import { identifySegment } from '../segment/gaps.js'
import { scanSegment } from '../segment/scan.js'
import { loadIndex } from '../segment/seal.js'
import { openSegmentFile } from '../segment/segment-file.js'
import { segmentFileName } from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'
import { compactSegment, unsound } from './compact-segment.js'
import { LatestKeys } from './latest-keys.js'
import { chooseRecords } from './thin-batch.js'

/** Compaction reads all that is clean to find little to do: it waits until what is new is so much of it. */
const DIRTY_SHARE_MIN = 1 / 2

export interface CompactionOptions {
  fs: FileSystem
  directory: string
  /** Base offset of the segment that the acknowledged point lies in. */
  openBase: number
  /** A tombstone stays at least this long after its segment was sealed. */
  deleteGraceMs: number
  nowMs: number
  /** Different keys that are held in memory; a pass goes as far as they reach. */
  keysMax?: number
  isStopped: () => boolean
}

export interface CompactionPass {
  /** Segments that were rewritten. */
  rewritten: number
  /** Whether there may be more to do at once. */
  isMore: boolean
  /** When the next tombstone may go; infinite where none is kept. */
  dueMs: number
}

/**
 * One pass over a partition's sealed segments, if it is worth it: finds the newest record of each key in what is new since
 * the last pass, and takes older ones out of all segments, the oldest first. Only sealed segments are looked at, so that
 * nothing goes for the sake of a record that a loss of power could take; which segments may be rewritten, `countRemovable`
 * says. Nobody else may remove or rewrite segments meanwhile.
 *
 * A tombstone goes when its grace is over and no segment before it can have an older record of its key: all were looked at in
 * this pass, or a pass before, in order.
 *
 * Interrupted, it begins anew. Throws `SEGMENT_CORRUPT` where a segment is damaged: what lies before it is compacted.
 */
export function compactPartition(options: CompactionOptions): CompactionPass {
  const { fs, directory, openBase, nowMs } = options
  const bases = rewritableBases(fs, directory, openBase)
  const idle = { rewritten: 0, isMore: false, dueMs: Number.POSITIVE_INFINITY }
  const baseLast = bases.at(-1)
  if (baseLast === undefined) return idle
  const indexes = bases.map((base) => loadIndex(fs, directory, base))
  if (indexes.some((index) => index === undefined)) return idle
  const state = soundState(options, indexes as SegmentIndex[])
  if (!isDue(state, indexes as SegmentIndex[], nowMs)) return { ...idle, dueMs: state.tombstonesDueMs }
  // The newest sealed segment is left as it is, and says what is newest.
  const baseNewest = endOf(indexes.at(-1)!)
  const latest = new LatestKeys(options.keysMax)
  const dirty = [...bases, baseNewest].filter((base) => base >= state.cleanedTo)
  let mappedTo = dirty[0] ?? baseNewest
  for (const base of dirty) {
    if (options.isStopped()) return { ...idle, isMore: true }
    const end = noteSegment(options, base, latest, base !== dirty[0])
    if (end === undefined) break
    mappedTo = end
  }
  if (options.isStopped()) return { ...idle, isMore: true }
  return rewriteBelow(options, indexes as SegmentIndex[], latest, Math.min(mappedTo, baseNewest))
}

const endOf = ({ baseOffset, recordCount }: SegmentIndex): number => baseOffset + recordCount

/** What the state file says, as far as it is of the segments that are there. */
function soundState({ fs, directory }: CompactionOptions, indexes: readonly SegmentIndex[]): CompactionState {
  const none = { cleanedTo: 0, digest: 0, tombstonesDueMs: Number.POSITIVE_INFINITY }
  const name = path.join(directory, COMPACTION_STATE_FILE)
  if (!fs.exists(name)) return none
  let state: CompactionState
  try {
    state = loadCompactionState(fs, directory)
  } catch (error) {
    if (isWalrusError(error) && error.code === 'SEGMENT_CORRUPT') return none
    throw error
  }
  const last = indexes.findLast((index) => index.baseOffset < state.cleanedTo)
  if (last === undefined) return { ...none, cleanedTo: indexes[0].baseOffset }
  return endOf(last) === state.cleanedTo && last.digest === state.digest ? state : none
}

/** Reads a partition's `compaction.state`. Throws `SEGMENT_CORRUPT`, `FORMAT_VERSION`. */
export function loadCompactionState(fs: FileSystem, directory: string): CompactionState {
  const name = path.join(directory, COMPACTION_STATE_FILE)
  return decodeCompactionState(readWholeFile(fs, name, COMPACTION_STATE_BYTES), name)
}

function isDue(
  { cleanedTo, tombstonesDueMs }: CompactionState,
  indexes: readonly SegmentIndex[],
  nowMs: number,
): boolean {
  if (tombstonesDueMs <= nowMs) return true
  let [clean, dirty] = [0, 0]
  for (const { baseOffset, dataBytes } of indexes) {
    if (baseOffset < cleanedTo) clean += dataBytes
    else dirty += dataBytes
  }
  return dirty > 0 && dirty >= clean * DIRTY_SHARE_MIN
}

/** Notes all records of a sealed segment. Returns where it ends; undefined where there was no more room for keys. */
function noteSegment(
  { fs, directory, isStopped }: CompactionOptions,
  base: number,
  latest: LatestKeys,
  mayEnd: boolean,
): number | undefined {
  const name = path.join(directory, segmentFileName(base))
  const file = openSegmentFile(fs, name, 'read')
  try {
    const identity = identifySegment(fs, directory, base, file, { name, skip: false })
    const index = loadIndex(fs, directory, base)
    if (identity === undefined || index === undefined) throw unsound(name, 0, base)
    const scan = scanSegment({
      file,
      segmentId: identity.segmentId,
      position: SEGMENT_HEADER_BYTES,
      offset: base,
      gaps: identity.gaps,
      onBatch(region, at) {
        if (isStopped() || (mayEnd && latest.isFull)) return false
        noteBatch(region, at, latest)
        return true
      },
    })
    if (scan.offsetNext === endOf(index)) return scan.offsetNext
    if (scan.damage !== undefined || !(isStopped() || latest.isFull))
      throw unsound(name, scan.position, scan.offsetNext)
    return undefined
  } finally {
    file.close()
  }
}

function noteBatch(region: Region, at: number, latest: LatestKeys): void {
  // Records of a batch that a faulty producer wrote count for nothing.
  if (chooseRecords(region, at, () => false) === undefined) return
  chooseRecords(region, at, ({ keyAt, keyLength }, offset) => {
    if (keyLength >= 0) latest.note(region, keyAt, keyLength, offset)
    return false
  })
}

/** Rewrites the segments that end at or below `end`, and writes down how far everything is clean. */
function rewriteBelow(
  options: CompactionOptions,
  indexes: readonly SegmentIndex[],
  latest: LatestKeys,
  end: number,
): CompactionPass {
  const { fs, directory, deleteGraceMs, nowMs, isStopped } = options
  const pass = { rewritten: 0, isMore: false, dueMs: Number.POSITIVE_INFINITY }
  let state: CompactionState | undefined
  let isCleanBefore = true
  for (const index of indexes) {
    if (endOf(index) > end) break
    const dueMs = index.sealedMs + deleteGraceMs
    const dropsTombstones = isCleanBefore && dueMs <= nowMs
    const { baseOffset } = index
    const done = compactSegment({ fs, directory, baseOffset, latest, dropsTombstones, isStopped })
    if (done.outcome === 'stopped') return { ...pass, isMore: true }
    if (done.outcome === 'stuck') break
    if (done.outcome === 'unfit') isCleanBefore = false
    else if (done.hasTombstones && isCleanBefore) pass.dueMs = Math.min(pass.dueMs, dueMs)
    if (done.outcome === 'rewritten') pass.rewritten++
    state = { cleanedTo: endOf(index), digest: done.digest, tombstonesDueMs: pass.dueMs }
  }
  if (state === undefined) return pass
  state.tombstonesDueMs = pass.dueMs
  publishFile(fs, directory, COMPACTION_STATE_FILE, encodeCompactionState(state))
  // What stops it now would stop it again.
  return { ...pass, isMore: state.cleanedTo === end && end < endOf(indexes.at(-1)!) }
}
