import path from 'node:path'
import type { Compression } from '../compression/codec.js'
import { isWalrusError } from '../errors.js'
import {
  batchAcknowledgedOffset,
  batchBaseOffset,
  batchEpoch,
  batchKeptCount,
  batchLength,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchRecordOffset,
  batchSequenceFirst,
} from '../format/batch.js'
import { decodeGaps, type SegmentGap } from '../format/gaps-file.js'
import { decodeIndex, INDEX_ENTRY_NUMBERS } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { decodeRecords, type RawRecord } from '../format/record.js'
import type { Region } from '../format/region.js'
import type { SegmentHeader } from '../format/segment-header.js'
import { identifySegment } from '../segment/gaps.js'
import { contentEnd, findSegmentId, type ScanOptions, scanSegment } from '../segment/scan.js'
import { readSegmentHeader } from '../segment/seal.js'
import { isCompressed, openSegmentFile } from '../segment/segment-file.js'
import { parseBaseOffset, SEGMENT_SUFFIX } from '../segment/segment-name.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { readWholeFile } from '../storage/publish-file.js'
import { checkFileSystem, checkPath } from './check-arguments.js'

/** What stands in a file, in order. Ends are exclusive. */
export type DumpItem =
  | ({ type: 'segment'; compression?: Compression; blocks?: number; storedBytes?: number } & SegmentHeader)
  | {
      type: 'batch'
      position: number
      offset: number
      offsetTo: number
      bytes: number
      leaseEpoch: number
      acknowledgedOffset: number
      producerId: number
      producerEpoch: number
      sequenceFirst: number
    }
  | ({ type: 'record'; offset: number } & Required<RawRecord>)
  | {
      type: 'damage'
      position: number
      positionTo: number
      offset: number
      offsetTo: number
      reason: string
      isGivenUp: boolean
    }
  | { type: 'end'; position: number; offset: number; batches: number; records: number; fileBytes: number }
  | {
      type: 'index'
      segmentId: number
      baseOffset: number
      recordCount: number
      batchCount: number
      dataBytes: number
      timestampFirst: number
      timestampMax: number
      sealedMs: number
      epochLast: number
      digest: number
    }
  | { type: 'entry'; offset: number; position: number; timestampMax: number }

/** Batches that are read at a time. */
const BATCHES_AT_ONCE = 64

/** Shows a segment's file, also one that is damaged or whose name says nothing. */
export function* dumpSegment(fs: FileSystem, name: string): Generator<DumpItem, void, undefined> {
  checkFile(fs, name)
  const file = openSegmentFile(fs, name, 'read')
  try {
    const header = readSegmentHeader(file, name)
    if (header !== undefined) yield { type: 'segment', ...header, ...compressionOf(file) }
    else yield damage({ positionFrom: 0, positionTo: SEGMENT_HEADER_BYTES, offsetFrom: 0, offsetTo: 0 }, 'bad-header')
    const place = whoseBatches(fs, name, file, header)
    yield* dumpBatches(file, place)
  } finally {
    file.close()
  }
}

function compressionOf(file: OpenFile): { compression?: Compression; blocks?: number; storedBytes?: number } {
  if (!isCompressed(file)) return {}
  return { compression: file.compression, blocks: file.blockCount, storedBytes: file.storedBytes() }
}

type Place = Pick<ScanOptions, 'segmentId' | 'offset' | 'gaps'>

function whoseBatches(fs: FileSystem, name: string, file: OpenFile, header: SegmentHeader | undefined): Place {
  const directory = path.dirname(name)
  const offset = header?.baseOffset ?? parseBaseOffset(path.basename(name), SEGMENT_SUFFIX)
  if (offset !== undefined) {
    const identity = identifySegment(fs, directory, offset, file, { name, skip: true })
    if (identity !== undefined) return { ...identity, offset }
  }
  return { segmentId: header?.segmentId ?? findSegmentId(file, 0) ?? 0, offset: offset ?? 0 }
}

function* dumpBatches(file: OpenFile, { segmentId, offset, gaps }: Place): Generator<DumpItem, void, undefined> {
  const fileBytes = file.size()
  let [batches, records] = [0, 0]
  let at = { position: SEGMENT_HEADER_BYTES, offset }
  for (;;) {
    const items: DumpItem[] = []
    let left = BATCHES_AT_ONCE
    const scan = scanSegment({
      file,
      segmentId,
      ...at,
      gaps,
      skip: true,
      onBatch(region, batchAt, position) {
        if (left-- === 0) return false
        items.push(...batchItems(region, batchAt, position))
        batches++
        records += batchKeptCount(region, batchAt)
      },
      onGap: (gap, reason) => items.push(damage(gap, reason ?? 'given up', reason === undefined)),
    })
    yield* items
    at = { position: scan.position, offset: scan.offsetNext }
    if (left < 0) continue
    if (scan.damage !== undefined) {
      const [positionFrom, offsetFrom] = [scan.position, scan.offsetNext]
      const positionTo = contentEnd(file)
      yield damage({ positionFrom, positionTo, offsetFrom, offsetTo: offsetFrom }, scan.damage.reason)
    }
    yield { type: 'end', ...at, batches, records, fileBytes }
    return
  }
}

function batchItems(region: Region, at: number, position: number): DumpItem[] {
  const offset = batchBaseOffset(region, at)
  const batch: DumpItem = {
    type: 'batch',
    position,
    offset,
    offsetTo: offset + batchRecordCount(region, at),
    bytes: batchLength(region, at),
    leaseEpoch: batchEpoch(region, at),
    acknowledgedOffset: batchAcknowledgedOffset(region, at),
    producerId: batchProducerId(region, at),
    producerEpoch: batchProducerEpoch(region, at),
    sequenceFirst: batchSequenceFirst(region, at),
  }
  try {
    const records = decodeRecords(region, at)
    return [
      batch,
      ...records.map((record, index): DumpItem => {
        return { type: 'record', offset: batchRecordOffset(region, at, index), ...record }
      }),
    ]
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const positionTo = position + batch.bytes
    const gap = { positionFrom: position, positionTo, offsetFrom: offset, offsetTo: batch.offsetTo }
    return [batch, damage(gap, `its producer wrote it so: ${error.message}`)]
  }
}

function damage(gap: SegmentGap, reason: string, isGivenUp = false): DumpItem {
  const { positionFrom: position, positionTo, offsetFrom: offset, offsetTo } = gap
  return { type: 'damage', position, positionTo, offset, offsetTo, reason, isGivenUp }
}

/** Shows an index; a damaged one is one damage. */
export function* dumpIndex(fs: FileSystem, name: string): Generator<DumpItem, void, undefined> {
  checkFile(fs, name)
  const bytes = readWholeFile(fs, name)
  const index = unlessCorrupt(() => decodeIndex(bytes, name))
  if (typeof index === 'string') {
    yield damage({ positionFrom: 0, positionTo: bytes.length, offsetFrom: 0, offsetTo: 0 }, index)
    return
  }
  const { entries, ...facts } = index
  yield { type: 'index', ...facts }
  for (let entry = 0; entry < entries.length; entry += INDEX_ENTRY_NUMBERS) {
    const [offset, position, timestampMax] = entries.subarray(entry, entry + INDEX_ENTRY_NUMBERS)
    yield { type: 'entry', offset, position, timestampMax }
  }
}

/** Shows what of a segment was given up. */
export function* dumpGaps(fs: FileSystem, name: string): Generator<DumpItem, void, undefined> {
  checkFile(fs, name)
  const bytes = readWholeFile(fs, name)
  const gaps = unlessCorrupt(() => decodeGaps(bytes, name))
  if (typeof gaps === 'string') {
    yield damage({ positionFrom: 0, positionTo: bytes.length, offsetFrom: 0, offsetTo: 0 }, gaps)
    return
  }
  for (const gap of gaps.gaps) yield damage(gap, 'given up', true)
}

/** What `decode` gives, or what is wrong. */
function unlessCorrupt<Decoded>(decode: () => Decoded): Decoded | string {
  try {
    return decode()
  } catch (error) {
    if (isWalrusError(error)) return error.message
    throw error
  }
}

function checkFile(fs: FileSystem, name: string): void {
  checkFileSystem(fs)
  checkPath('name', name)
}
