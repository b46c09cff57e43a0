import nodeFs from 'node:fs'
import { expect } from 'vitest'
import { WalrusError, type WalrusErrorCode } from '#core/errors.js'
import { batchBaseOffset, batchLength } from '#core/format/batch.js'
import { type EncodedBatch, encodeBatch } from '#core/format/batch-encoder.js'
import { decodeRecords } from '#core/format/record.js'
import { Region } from '#core/format/region.js'
import { PartitionLog, type PartitionLogOptions } from '#core/log/partition-log.js'
import { STATE_FILE } from '#core/log/state-file.js'
import { SegmentReader } from '#core/segment/segment-reader.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'

export const START_MS = 1_700_000_000_000

export function openPartition(directory: string, options: Partial<PartitionLogOptions> = {}): PartitionLog {
  return PartitionLog.open({
    fs: new NodeFileSystem(),
    directory,
    partition: 0,
    segmentBytes: 1 << 20,
    segmentEntries: 1_000_000,
    recovery: 'strict',
    now: () => START_MS,
    ...options,
  })
}

export function textBatch(values: readonly string[], timestampMs = START_MS): EncodedBatch {
  const records = values.map((value) => ({ value: new TextEncoder().encode(value) }))
  return encodeBatch(records, { producerId: 7, producerEpoch: 1, sequenceFirst: 0, timestampMs })
}

/** Appends without any promise. Returns the batch's base offset. */
export function append(log: PartitionLog, ...values: string[]): number {
  return log.appendBatch(textBatch(values).region, 0)
}

/** Appends as a `disk` topic's writer does: synced, then acknowledged, which later stamps say. */
export function appendSynced(log: PartitionLog, ...values: string[]): number {
  const offset = append(log, ...values)
  log.sync()
  log.acknowledgedOffset = log.offsetNext
  return offset
}

export interface ReadRecord {
  offset: number
  value: string
}

/** All records from the segment that has `from` up to `highWatermark`, each batch's checksum checked. */
export function readRecords(
  directory: string,
  from: number,
  highWatermark: number,
  { fs = new NodeFileSystem() as FileSystem, regionBytes = 4096 } = {},
): ReadRecord[] {
  const reader = new SegmentReader(fs, directory)
  const records: ReadRecord[] = []
  try {
    let region = Region.allocate(regionBytes)
    for (let position = reader.locate(from); ; ) {
      const fill = reader.fill(position, region, highWatermark, true)
      if (fill.bytesNeeded !== undefined) {
        region = Region.allocate(fill.bytesNeeded)
        continue
      }
      if (fill.bytes === 0) break
      for (let at = 0; at < fill.bytes; at += batchLength(region, at)) {
        const decoded = decodeRecords(region, at)
        for (const [index, { value }] of decoded.entries()) {
          records.push({ offset: batchBaseOffset(region, at) + index, value: new TextDecoder().decode(value!) })
        }
      }
      position = fill.next
    }
  } finally {
    reader.close()
  }
  return records.filter(({ offset }) => offset >= from)
}

/** The values of the whole partition; their offsets have to be without a gap. */
export function readValues(
  directory: string,
  log: { offsetFirst: number; offsetNext: number },
  fs: FileSystem = new NodeFileSystem(),
): string[] {
  if (log.offsetFirst === log.offsetNext) return []
  const records = readRecords(directory, log.offsetFirst, log.offsetNext, { fs })
  expect(records.map(({ offset }) => offset)).toEqual(
    Array.from({ length: log.offsetNext - log.offsetFirst }, (_, index) => log.offsetFirst + index),
  )
  return records.map(({ value }) => value)
}

/** Opens, reads everything and closes. */
export function reopenedValues(directory: string, options: Partial<PartitionLogOptions> = {}): string[] {
  const log = openPartition(directory, options)
  const values = readValues(directory, log)
  log.close()
  return values
}

/** The error of that code that `action` throws. */
export function refusal(code: WalrusErrorCode, action: () => unknown): WalrusError {
  try {
    action()
  } catch (error) {
    if (error instanceof WalrusError && error.code === code) return error
    throw error
  }
  throw new Error(`${code} was expected, nothing was thrown`)
}

/** Names of the files that hold a partition's records, in order. */
export function segmentsAndIndexes(directory: string): string[] {
  return nodeFs
    .readdirSync(directory)
    .filter((name) => name !== STATE_FILE)
    .sort()
}
