import { expect } from 'vitest'
import { type CompactionOptions, type CompactionPass, compactPartition } from '#core/compaction/compact-partition.js'
import { batchBaseOffset, batchLength, batchRecordCount, batchRecordOffset } from '#core/format/batch.js'
import { type BatchOrigin, encodeBatch } from '#core/format/batch-encoder.js'
import { decodeRecords } from '#core/format/record.js'
import { Region } from '#core/format/region.js'
import type { PartitionLog } from '#core/log/partition-log.js'
import { type ReadPosition, SegmentReader } from '#core/segment/segment-reader.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { START_MS } from './partition.js'

/** A record of a key; null is none. */
export interface Keyed {
  key: string | null
  value: string | null
}

export interface KeyedRecord extends Keyed {
  offset: number
}

const bytesOf = (text: string | null): Uint8Array | null => (text === null ? null : new TextEncoder().encode(text))
const textOf = (bytes: Uint8Array | null): string | null => bytes && new TextDecoder().decode(bytes)

/** Appends a batch, syncs and acknowledges it. */
export function appendKeyed(log: PartitionLog, records: readonly Keyed[], origin: Partial<BatchOrigin> = {}): number {
  const raw = records.map(({ key, value }) => ({ key: bytesOf(key), value: bytesOf(value) }))
  const batch = encodeBatch(raw, {
    producerId: 7,
    producerEpoch: 1,
    sequenceFirst: 0,
    timestampMs: START_MS,
    ...origin,
  })
  const offset = log.appendBatch(batch.region, 0)
  log.sync()
  log.acknowledgedOffset = log.offsetNext
  return offset
}

export function compact(
  directory: string,
  log: Pick<PartitionLog, 'openBaseOffset'>,
  options: Partial<CompactionOptions> = {},
): CompactionPass {
  return compactPartition({
    fs: new NodeFileSystem(),
    directory,
    openBase: log.openBaseOffset,
    deleteGraceMs: 1000,
    nowMs: START_MS,
    isStopped: () => false,
    ...options,
  })
}

/** Reads on from a place, a fill at a time, and checks that offsets only grow. */
export class KeyedReader {
  readonly records: KeyedRecord[] = []
  offset: number
  readonly #reader: SegmentReader
  readonly #from: number
  #next: ReadPosition | undefined
  #region = Region.allocate(4096)

  constructor(directory: string, from: number, fs: FileSystem = new NodeFileSystem()) {
    this.#reader = new SegmentReader(fs, directory)
    this.#from = from
    this.offset = from
  }

  /** Where it stands, as another reader could go on from. */
  get position(): ReadPosition | undefined {
    return this.#next
  }

  beginAnew(): void {
    this.#next = undefined
    this.records.length = 0
    this.offset = this.#from
  }

  goOnFrom(position: ReadPosition): void {
    this.#next = position
  }

  /** False at the end. */
  fill(highWatermark: number): boolean {
    const from = this.#next ?? this.#reader.locate(this.#from)
    const fill = this.#reader.fill(from, this.#region, highWatermark, true)
    expect(fill.gap).toBeUndefined()
    this.#next = fill.next
    if (fill.bytesNeeded !== undefined) {
      this.#region = Region.allocate(fill.bytesNeeded)
      return true
    }
    for (let at = 0; at < fill.bytes; at += batchLength(this.#region, at)) this.#take(at)
    return fill.bytes > 0
  }

  #take(at: number): void {
    const region = this.#region
    for (const [index, { key, value }] of decodeRecords(region, at).entries()) {
      const offset = batchRecordOffset(region, at, index)
      expect(offset).toBeLessThan(batchBaseOffset(region, at) + batchRecordCount(region, at))
      if (offset < this.#from) continue
      expect(offset).toBeGreaterThanOrEqual(this.offset)
      this.offset = offset + 1
      this.records.push({ offset, key: textOf(key), value: textOf(value) })
    }
  }

  close(): void {
    this.#reader.close()
  }
}

export function readKeyed(
  directory: string,
  from: number,
  highWatermark: number,
  fs: FileSystem = new NodeFileSystem(),
): KeyedRecord[] {
  const reader = new KeyedReader(directory, from, fs)
  while (reader.fill(highWatermark));
  reader.close()
  return reader.records
}
