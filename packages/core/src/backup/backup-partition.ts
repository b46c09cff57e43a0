import path from 'node:path'
import { systemErrorCode, WalrusError } from '../errors.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { Region } from '../format/region.js'
import { READ_CHUNK_BYTES } from '../limits.js'
import { removeOldest } from '../log/forget.js'
import { loadState, writeState } from '../log/state-file.js'
import type { PartitionView } from '../log/view-topic.js'
import { identifySegment } from '../segment/gaps.js'
import { finishReplacement, isSegmentOf } from '../segment/replace-segment.js'
import { scanSegment } from '../segment/scan.js'
import { loadIndex, loadSegmentHeader, readSegmentHeader } from '../segment/seal.js'
import { openSegmentFile } from '../segment/segment-file.js'
import { indexFileName, indexToComeFileName, segmentBases, segmentFileName } from '../segment/segment-name.js'
import { SegmentReader } from '../segment/segment-reader.js'
import type { FileSystem } from '../storage/file-system.js'
import { fileBytes } from '../storage/publish-file.js'
import { type Copying, copyBytes, filesOfSegment } from './backup-files.js'

export interface PartitionBackup {
  fs: FileSystem
  view: PartitionView
  /** The partition's directory in the backup. */
  target: string
  /** Read what was copied once more, and check every batch. */
  verify: boolean
}

export interface BackupTally {
  /** Segments that were copied, and those that were there already. */
  copied: number
  kept: number
  bytes: number
}

/** Where a segment's files are copied to, below the partition's copy; nothing else looks there. */
const STAGE = '.copying'

/** Retention may remove what is about to be copied: then what is left is looked at again. */
const LOOKS_MAX = 16

/**
 * Brings a partition's copy up to what was acknowledged at the view, and no further. At every moment the copy is a whole
 * partition: it grows by segments, oldest first, which come into it when they are durable and checked, the index last; its
 * first offset is durable before anything is removed. Yields the bytes of each piece that was copied.
 */
export function* backupPartition(backup: PartitionBackup, tally: BackupTally): Copying {
  const { fs, target } = backup
  fs.makeDirectory(target)
  for (let look = 1; ; look++) {
    try {
      yield* bringUp(backup, tally)
      return
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || look === LOOKS_MAX) throw error
    } finally {
      fs.removeTree(path.join(target, STAGE))
    }
  }
}

/** Bytes that a run would have to copy, about. */
export function backupBytes({ fs, view, target }: Pick<PartitionBackup, 'fs' | 'view' | 'target'>): number {
  let bytes = 0
  if (!fs.exists(view.directory)) return 0
  const names = fs.list(view.directory)
  for (const base of segmentBases(names)) {
    if (base >= view.readable.offset || hasSealed(fs, view.directory, target, base)) continue
    try {
      const size = fileBytes(fs, path.join(view.directory, segmentFileName(base)))
      bytes += base === view.readable.baseOffset ? Math.min(size, view.readable.position) : size
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error
    }
  }
  return bytes
}

function* bringUp(backup: PartitionBackup, tally: BackupTally): Copying {
  const { fs, view, target } = backup
  const { readable, directory } = view
  if (!fs.exists(directory)) return
  const bases = segmentBases(fs.list(directory)).filter((base) => base < readable.offset)
  const offsetFirst = Math.max(readable.offsetFirst, loadState(fs, directory).offsetFirst, bases[0] ?? 0)
  const before = segmentBases(fs.list(target))
  requireSameLog(backup, before, bases)
  // Where all that the copy has is gone in the log, it would have a hole before what comes.
  const isLeftBehind = before.length > 0 && endOf(fs, target, before) < offsetFirst
  if (isLeftBehind) forgetBefore(fs, target, offsetFirst, bases[0])
  for (const [place, base] of bases.entries()) yield* copySegment(backup, base, bases[place + 1], tally)
  if (!isLeftBehind) forgetBefore(fs, target, offsetFirst, bases[0])
}

/** The copy begins where the log does. */
function forgetBefore(fs: FileSystem, target: string, offsetFirst: number, base: number | undefined): void {
  if (offsetFirst > loadState(fs, target).offsetFirst) writeState(fs, target, { offsetFirst })
  removeOldest(
    fs,
    target,
    segmentBases(fs.list(target)).filter((before) => before < (base ?? offsetFirst)),
  )
}

/** A little below it: where the copy's last segment begins at the latest. */
function endOf(fs: FileSystem, target: string, bases: readonly number[]): number {
  const last = bases[bases.length - 1]
  const index = loadIndex(fs, target, last)
  if (index !== undefined) return last + index.recordCount
  const name = path.join(target, segmentFileName(last))
  const file = openSegmentFile(fs, name, 'read')
  try {
    const segmentId = readSegmentHeader(file, name)?.segmentId ?? 0
    return scanSegment({ file, segmentId, position: SEGMENT_HEADER_BYTES, offset: last }).offsetNext
  } finally {
    file.close()
  }
}

function* copySegment(backup: PartitionBackup, base: number, next: number | undefined, tally: BackupTally): Copying {
  const { fs, view, target, verify } = backup
  const { directory, readable } = view
  if (hasSealed(fs, directory, target, base)) {
    tally.kept++
    return
  }
  const stage = path.join(target, STAGE)
  fs.removeTree(stage)
  fs.makeDirectory(stage)
  const index = loadIndex(fs, directory, base)
  const end = Math.min(next ?? readable.offset, readable.offset)
  if (index !== undefined && base + index.recordCount <= readable.offset) {
    yield* copySealed(backup, base, tally)
  } else {
    const bytes = base === readable.baseOffset ? readable.position : dataBytes(fs, directory, base, end)
    const name = segmentFileName(base)
    // The same segment of the same length is the same.
    if (fs.exists(path.join(target, name)) && fileBytes(fs, path.join(target, name)) === bytes) {
      tally.kept++
      return
    }
    yield* copyCounted(backup, name, bytes, tally)
  }
  if (verify) yield* requireWhole(fs, stage, directory, base, end)
  moveIn(fs, stage, target, base)
  tally.copied++
}

/** Copies a sealed segment's files, which compaction may replace meanwhile by those of another generation. */
function* copySealed(backup: PartitionBackup, base: number, tally: BackupTally): Copying {
  const { fs, view, target } = backup
  const stage = path.join(target, STAGE)
  for (let look = 1; look <= LOOKS_MAX; look++) {
    fs.removeTree(stage)
    fs.makeDirectory(stage)
    // Listed anew: it may have another form than before.
    for (const name of filesOfSegment(fs.list(view.directory), base)) yield* copyCounted(backup, name, undefined, tally)
    const index = loadIndex(fs, stage, base)
    if (index !== undefined && isSegmentOf(fs, stage, index)) return
  }
  throw damaged(path.join(view.directory, segmentFileName(base)), 0, base)
}

/** Gives a segment's files their places, each of them durably before the next. */
function moveIn(fs: FileSystem, stage: string, target: string, base: number): void {
  const isReplaced = fs.exists(path.join(target, indexFileName(base)))
  let own = filesOfSegment(fs.list(stage), base)
  if (isReplaced && own.includes(indexFileName(base))) {
    // Segment and index change together, or a copy that dies in between would have one of each generation.
    fs.rename(path.join(stage, indexFileName(base)), path.join(target, indexToComeFileName(base)))
    fs.syncDirectory(target)
    own = own.filter((name) => name !== indexFileName(base))
  }
  for (const name of own) {
    fs.rename(path.join(stage, name), path.join(target, name))
    fs.syncDirectory(target)
  }
  if (isReplaced) finishReplacement(fs, target, base)
  const kept = [...own, indexFileName(base)]
  for (const name of filesOfSegment(fs.list(target), base)) if (!kept.includes(name)) fs.remove(path.join(target, name))
}

function* copyCounted(
  { fs, view, target }: PartitionBackup,
  name: string,
  bytes: number | undefined,
  tally: BackupTally,
): Copying {
  for (const piece of copyBytes(fs, path.join(view.directory, name), path.join(target, STAGE, name), bytes)) {
    tally.bytes += piece
    yield piece
  }
}

/** Sealed in both, with the same content: it never changes again. */
function hasSealed(fs: FileSystem, directory: string, target: string, base: number): boolean {
  const [there, here] = [target, directory].map((place) => loadIndex(fs, place, base))
  return there !== undefined && here !== undefined && there.segmentId === here.segmentId && there.digest === here.digest
}

/** Where a full segment ends that is not sealed yet. */
function dataBytes(fs: FileSystem, directory: string, base: number, end: number): number {
  const name = path.join(directory, segmentFileName(base))
  const file = openSegmentFile(fs, name, 'read')
  try {
    const identity = identifySegment(fs, directory, base, file, { name, skip: false })
    const segmentId = identity?.segmentId ?? 0
    const scan = scanSegment({ file, segmentId, position: SEGMENT_HEADER_BYTES, offset: base, gaps: identity?.gaps })
    if (scan.offsetNext < end) throw damaged(name, scan.position, scan.offsetNext)
    return scan.position
  } finally {
    file.close()
  }
}

/** Reads what was copied, as readers do. */
function* requireWhole(fs: FileSystem, stage: string, directory: string, base: number, end: number): Copying {
  const reader = new SegmentReader(fs, stage)
  try {
    let region = Region.allocateHashed(READ_CHUNK_BYTES)
    let position = { baseOffset: base, position: SEGMENT_HEADER_BYTES, offset: base }
    while (position.offset < end) {
      const filled = reader.fill(position, region, end, true)
      if (filled.bytesNeeded !== undefined) region = Region.allocateHashed(filled.bytesNeeded)
      else if (filled.bytes === 0 && filled.gap === undefined) {
        throw damaged(path.join(directory, segmentFileName(base)), position.position, position.offset)
      }
      position = filled.next
      yield 0
    }
  } finally {
    reader.close()
  }
}

/** Refuses to put records over those of another log, or over more than this one has. */
function requireSameLog(
  { fs, view, target }: PartitionBackup,
  there: readonly number[],
  here: readonly number[],
): void {
  for (const base of there) {
    if (base >= view.readable.offset)
      throw anotherLog(target, `it has records from offset ${base} on, which are not in the log`)
    if (!here.includes(base)) continue
    const [copied, original] = [target, view.directory].map((directory) => idOf(fs, directory, base))
    if (copied !== original) throw anotherLog(target, `its segment of offset ${base} is another one`)
  }
}

function idOf(fs: FileSystem, directory: string, base: number): number | undefined {
  return (loadIndex(fs, directory, base) ?? loadSegmentHeader(fs, directory, base))?.segmentId
}

function anotherLog(target: string, what: string): WalrusError {
  return new WalrusError(
    'INVALID_ARGUMENT',
    `${target} is no backup of this log's past: ${what}; back up to an empty directory, and look what that one is`,
    { field: 'target' },
  )
}

function damaged(file: string, position: number, offset: number): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is damaged at byte ${position} (offset ${offset}) and is not backed up; what was backed up before is left as it is. Run 'walrus verify'`,
    { file, position, offset },
  )
}
