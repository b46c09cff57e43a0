import path from 'node:path'
import { WalrusError } from '../errors.js'
import { batchBaseOffset, batchKeptCount, batchLength, batchProducerId, isBatchOfNamed } from '../format/batch.js'
import { encodeIndex, type SegmentIndex } from '../format/index-file.js'
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import type { SegmentHeader } from '../format/segment-header.js'
import { BATCH_BYTES_MAX, SEGMENT_BYTES_MAX } from '../limits.js'
import { IndexBuilder } from '../segment/index-builder.js'
import { rebuildIndex } from '../segment/rebuild-index.js'
import { finishReplacement, replaceSegment } from '../segment/replace-segment.js'
import { scanSegment } from '../segment/scan.js'
import { loadIndex, readSegmentHeader } from '../segment/seal.js'
import { openSegmentFile } from '../segment/segment-file.js'
import { gapsFileName, segmentFileName, TEMPORARY_SUFFIX } from '../segment/segment-name.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { writeBeside } from '../storage/publish-file.js'
import type { LatestKeys } from './latest-keys.js'
import { chooseRecords, type KeptRecord, thinnedBytes } from './thin-batch.js'
import { ThinnedSegment } from './thinned-segment.js'

export interface CompactSegmentOptions {
  fs: FileSystem
  directory: string
  baseOffset: number
  latest: LatestKeys
  /** Whether tombstones without an older record of their key may go: none is left in any segment before. */
  dropsTombstones: boolean
  isStopped: () => boolean
}

export interface CompactedSegment {
  /**
   * - `rewritten`: what could go is gone;
   * - `clean`: there was nothing that could go;
   * - `unfit`: something of it was given up, so that it is left as it is;
   * - `stuck`: without these records it would be larger than a segment can be, for it needs their offsets; it is left as it is;
   * - `stopped`: the caller said so; nothing has changed.
   */
  outcome: 'rewritten' | 'clean' | 'unfit' | 'stuck' | 'stopped'
  /** Whether tombstones are left in it. */
  hasTombstones: boolean
  /** Of the index as it is now. */
  digest: number
}

/**
 * Takes the records out of a sealed segment that a newer one of their key supersedes. Offsets, the segment's id, and what
 * its batches span stay; positions do not, which its generation tells. What is written is read back before it takes the
 * old file's place (`replaceSegment`). Throws `SEGMENT_CORRUPT` where the segment is not what its index says: then nothing
 * has changed.
 */
export function compactSegment(options: CompactSegmentOptions): CompactedSegment {
  const { fs, directory, baseOffset } = options
  const name = path.join(directory, segmentFileName(baseOffset))
  finishReplacement(fs, directory, baseOffset)
  const index = loadIndex(fs, directory, baseOffset)
  const unchanged = { hasTombstones: true, digest: index?.digest ?? 0 }
  if (index === undefined || fs.exists(path.join(directory, gapsFileName(baseOffset)))) {
    return { outcome: 'unfit', ...unchanged }
  }
  const file = openSegmentFile(fs, name, 'read')
  try {
    const header = readSegmentHeader(file, name)
    if (header === undefined || header.segmentId !== index.segmentId || header.generation !== index.generation) {
      throw unsound(name, 0, baseOffset)
    }
    const source = { file, name, header, index }
    const survey = surveySegment(source, options)
    const { tombstones } = survey
    if (survey === STOPPED) return { outcome: 'stopped', ...unchanged }
    if (survey.dropped === 0) return { outcome: 'clean', hasTombstones: tombstones > 0, digest: index.digest }
    if (survey.bytes > SEGMENT_BYTES_MAX || survey.batchBytesMax > BATCH_BYTES_MAX)
      return { outcome: 'stuck', ...unchanged }
    const rebuilt = writeBeside(fs, name + TEMPORARY_SUFFIX, (target) => writeThinned(source, survey, options, target))
    if (rebuilt === undefined) return { outcome: 'stopped', ...unchanged }
    replaceSegment(fs, directory, rebuilt)
    return { outcome: 'rewritten', hasTombstones: tombstones > 0, digest: rebuilt.digest }
  } finally {
    file.close()
  }
}

interface Source {
  file: OpenFile
  name: string
  header: SegmentHeader
  index: SegmentIndex
}

interface Survey {
  dropped: number
  tombstones: number
  /** Length of the segment to come, at most. */
  bytes: number
  batchBytesMax: number
  /** Base offset of each named producer's last batch: it stays as a header, for it tells how far that one came. */
  lastOfNamed: Map<number, number>
}

const STOPPED: Survey = { dropped: 0, tombstones: 0, bytes: 0, batchBytesMax: 0, lastOfNamed: new Map() }

/** Counts what would go, and checks every batch. */
function surveySegment({ file, name, index }: Source, options: CompactSegmentOptions): Survey {
  const survey: Survey = { ...STOPPED, bytes: SEGMENT_HEADER_BYTES, lastOfNamed: new Map() }
  let isStopped = false
  const builder = new IndexBuilder()
  const { segmentId, baseOffset, sealedMs, generation } = index
  const scan = scanSegment({
    file,
    segmentId,
    position: SEGMENT_HEADER_BYTES,
    offset: baseOffset,
    onBatch(region, at, position) {
      isStopped = options.isStopped()
      if (isStopped) return false
      builder.add(region, at, position)
      const kept = keptOf(region, at, options)
      if (isBatchOfNamed(region, at)) survey.lastOfNamed.set(batchProducerId(region, at), batchBaseOffset(region, at))
      if (kept === undefined) {
        survey.bytes += batchLength(region, at)
        return true
      }
      survey.dropped += batchKeptCount(region, at) - kept.records.length
      survey.tombstones += kept.tombstones
      const bytes = Math.max(thinnedBytes(kept.records), BATCH_HEADER_BYTES)
      survey.bytes += bytes
      survey.batchBytesMax = Math.max(survey.batchBytesMax, bytes)
      return true
    },
  })
  if (isStopped) return STOPPED
  const found = builder.finish({ segmentId, baseOffset, dataBytes: scan.position, sealedMs, generation })
  if (Buffer.compare(encodeIndex(found), encodeIndex(index)) !== 0) throw unsound(name, scan.position, scan.offsetNext)
  return survey
}

/** Records that stay; undefined for a batch that a faulty producer wrote, which stays as it is. */
function keptOf(
  region: Region,
  at: number,
  { latest, dropsTombstones }: CompactSegmentOptions,
): { records: KeptRecord[]; tombstones: number } | undefined {
  let tombstones = 0
  const records = chooseRecords(region, at, ({ keyAt, keyLength, valueLength }, offset) => {
    // Without a key, nothing can be newer than it.
    if (keyLength < 0) return true
    if (latest.isSuperseded(region, keyAt, keyLength, offset)) return false
    if (valueLength >= 0) return true
    if (dropsTombstones) return false
    tombstones++
    return true
  })
  return records && { records, tombstones }
}

/** Writes the new segment and reads it back. Returns its index; undefined where it was stopped. */
function writeThinned(
  { file, name, header, index }: Source,
  survey: Survey,
  options: CompactSegmentOptions,
  target: OpenFile,
): SegmentIndex | undefined {
  const generation = (header.generation ?? 0) + 1
  const thinned = new ThinnedSegment(target, { ...header, generation })
  let isStopped = false
  scanSegment({
    file,
    segmentId: index.segmentId,
    position: SEGMENT_HEADER_BYTES,
    offset: index.baseOffset,
    onBatch(region, at) {
      isStopped = options.isStopped()
      if (isStopped) return false
      const kept = keptOf(region, at, options)?.records
      if (kept?.length === 0 && !isLastOfNamed(region, at, survey)) thinned.pass(region, at)
      else if (kept === undefined || kept.length === batchKeptCount(region, at)) thinned.copy(region, at)
      else thinned.thin(region, at, kept)
      return true
    },
  })
  if (isStopped) return undefined
  const { baseOffset, segmentId, sealedMs } = index
  const dataBytes = thinned.end()
  const rebuilt = thinned.builder.finish({ segmentId, baseOffset, dataBytes, sealedMs, generation })
  target.sync()
  verifyThinned(target, rebuilt, index, name)
  return rebuilt
}

const isLastOfNamed = (region: Region, at: number, { lastOfNamed }: Survey): boolean =>
  lastOfNamed.get(batchProducerId(region, at)) === batchBaseOffset(region, at)

/** That what is on its way to the disk is a whole segment, with the batches that were meant, and spans what the old one did. */
function verifyThinned(file: OpenFile, rebuilt: SegmentIndex, index: SegmentIndex, name: string): void {
  const { segmentId, baseOffset, sealedMs, generation } = rebuilt
  const { index: found, scan } = rebuildIndex(file, { segmentId, baseOffset, sealedMs, generation })
  const isSame = Buffer.compare(encodeIndex(found), encodeIndex(rebuilt)) === 0
  if (!isSame || rebuilt.recordCount !== index.recordCount) throw unsound(name, scan.position, scan.offsetNext)
}

export function unsound(file: string, position: number, offset: number): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is not what its index says, from byte ${position} on (offset ${offset}); the partition is not compacted any more: run 'walrus verify'`,
    { file, position, offset },
  )
}
