import path from 'node:path'
import { systemErrorCode, WalrusError } from '../errors.js'
import {
  batchBaseOffset,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchSequenceFirst,
  isBatchOfNamed,
} from '../format/batch.js'
import { encodeProducers } from '../format/producers-file.js'
import type { Region } from '../format/region.js'
import type { RecoveryMode } from '../segment/recovery.js'
import { loadSegmentHeader } from '../segment/seal.js'
import { openSegmentFile } from '../segment/segment-file.js'
import { producersFileName, segmentFileName } from '../segment/segment-name.js'
import { walkHeaders } from '../segment/walk.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile } from '../storage/publish-file.js'
import { loadProducers, type SegmentSpan, spansOf } from './producer-file.js'
import { ProducerTable } from './producer-state.js'

export interface ProducerRecoveryOptions {
  fs: FileSystem
  directory: string
  mode: RecoveryMode
  /** All segments in the directory, ascending, forgotten ones as well; all but `openBase` are sealed. */
  bases: readonly number[]
  openBase: number | undefined
  offsetNext: number
  /** Batches from here on may have to be named to who sent them: all of them are remembered. */
  offsetRemembered: number
  /** No named producer has written below this offset; undefined: none has ever been opened. */
  since: number | undefined
}

export interface RecoveredProducers {
  table: ProducerTable
  /** What could tell is trimmed away, and the mode allows to go on without: a repeat may be taken for something new. */
  isIncomplete: boolean
}

/**
 * Finds out how far each named producer came: from the `.producers` file of the last sealed segment that has one, and
 * the headers of all batches behind it. Normally that is the last sealed segment, so that no sealed data is read.
 */
export function recoverProducers(options: ProducerRecoveryOptions): RecoveredProducers {
  const { fs, directory, bases, openBase, offsetNext, since } = options
  const table = new ProducerTable(since !== undefined)
  const segments = spansOf(bases, offsetNext)
  const sealedCount = openBase === undefined ? segments.length : segments.length - 1
  let place = sealedCount
  let isFound = false
  while (place > 0) {
    const segment = segments[place - 1]
    const producers = loadProducers(fs, directory, segment)
    isFound = producers !== undefined
    if (isFound) table.restore(producers!)
    if (isFound || segment.offsetEnd <= (since ?? offsetNext)) break
    place--
  }
  if (!isFound && since === undefined) return { table, isIncomplete: false }
  // What was trimmed away cannot be read again, and only a file of producers still knew of it.
  const isIncomplete = !isFound && place === 0 && (bases[0] ?? 0) > since!
  if (isIncomplete) refuseIncomplete(options)
  for (; place < segments.length; place++) {
    addBatches(options, segments[place], table)
    if (place === sealedCount - 1) keep(options, segments[place], table)
  }
  return { table, isIncomplete }
}

/** Notes a batch that is staged or found; batches without a named producer are nothing to it. */
export function noteBatch(table: ProducerTable, region: Region, at: number, acknowledgedOffset: number): void {
  table.add(
    batchProducerId(region, at),
    batchProducerEpoch(region, at),
    batchSequenceFirst(region, at),
    batchRecordCount(region, at),
    batchBaseOffset(region, at),
    acknowledgedOffset,
  )
}

/** The `.producers` file of a segment that ends here; undefined where nobody has anything to keep. */
export function snapshotProducers(
  table: ProducerTable,
  segment: { segmentId: number; baseOffset: number; offsetEnd: number },
): Uint8Array | undefined {
  return table.isUsed ? encodeProducers({ ...segment, producers: table.states() }) : undefined
}

function addBatches(
  { fs, directory, mode, offsetRemembered }: ProducerRecoveryOptions,
  segment: SegmentSpan,
  table: ProducerTable,
) {
  const name = path.join(directory, segmentFileName(segment.base))
  const file = openSegmentFile(fs, name, 'read')
  try {
    const reached = walkHeaders(file, segment.base, segment.offsetEnd, (region, at) => {
      if (isBatchOfNamed(region, at)) noteBatch(table, region, at, offsetRemembered)
    })
    if (reached >= segment.offsetEnd || mode !== 'strict') return
    throw new WalrusError(
      'SEGMENT_CORRUPT',
      `${name} is damaged at offset ${reached}, so that it cannot be told how far its named producers came; restore it from a copy, or keep one and open with recovery: 'tail'`,
      { file: name, offset: reached },
    )
  } finally {
    file.close()
  }
}

/** Spares the next open the reading. A disk that has no room for it is no reason not to open. */
function keep(
  { fs, directory }: ProducerRecoveryOptions,
  { base, offsetEnd }: SegmentSpan,
  table: ProducerTable,
): void {
  const segmentId = loadSegmentHeader(fs, directory, base)?.segmentId
  const bytes =
    segmentId === undefined ? undefined : snapshotProducers(table, { segmentId, baseOffset: base, offsetEnd })
  if (bytes === undefined) return
  try {
    publishFile(fs, directory, producersFileName(base), bytes)
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT'].includes(systemErrorCode(error))) throw error
  }
}

function refuseIncomplete({ directory, mode, bases }: ProducerRecoveryOptions): void {
  if (mode !== 'strict') return
  const file = path.join(directory, producersFileName(bases[0]))
  throw new WalrusError(
    'SEGMENT_CORRUPT',
    `${directory} has no sound .producers file, and the records that it could be made from are trimmed: how far named producers came is not known; restore the file from a copy, or open with recovery: 'tail' to go on without`,
    { file, position: 0 },
  )
}
