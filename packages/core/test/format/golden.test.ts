import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  batchAcknowledgedOffset,
  batchBaseOffset,
  batchDurability,
  batchEpoch,
  batchLength,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchSegmentId,
  batchSequenceFirst,
  batchTimestampFirst,
  batchTimestampMax,
  checkBatch,
} from '#core/format/batch.js'
import { decodeIndex } from '#core/format/index-file.js'
import { decodePartitionState } from '#core/format/partition-state.js'
import { decodeRecords } from '#core/format/record.js'
import { Region } from '#core/format/region.js'
import { decodeSegmentHeader } from '#core/format/segment-header.js'
import { STATE_FILE } from '#core/log/state-file.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { GOLDEN_BASE_OFFSET, GOLDEN_DIRECTORY, makeGolden } from '../support/golden.js'
import { temporaryDirectory } from '../support/temporary.js'
import { makeXxh3 } from '../support/xxh3.js'

// The golden files are what programs of this version have on their disks. They are never made anew for a change of the
// code; `WALRUS_MAKE_GOLDEN=1 npx vitest run <this file>` made them, and makes those of a format version to come.
if (process.env['WALRUS_MAKE_GOLDEN']) {
  for (const name of fs.readdirSync(GOLDEN_DIRECTORY)) fs.rmSync(path.join(GOLDEN_DIRECTORY, name))
  makeGolden(GOLDEN_DIRECTORY)
}

const NAMES = [segmentFileName(GOLDEN_BASE_OFFSET), indexFileName(GOLDEN_BASE_OFFSET), STATE_FILE]
const [segment, index, state] = NAMES.map((name) => fs.readFileSync(path.join(GOLDEN_DIRECTORY, name)))
const SPECIFICATION = fs.readFileSync(new URL('../../../../docs/format.md', import.meta.url), 'utf8')
const none = 0xffff_ffff
const xxh3 = await makeXxh3()

/** Reads fields one behind the other, by the tables of docs/format.md alone, so that no byte is left out. */
class Bytes {
  at = 0
  readonly #bytes: Buffer
  readonly #view: DataView

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  u32 = (): number => this.#view.getUint32(this.#step(4), true)
  i32 = (): number => this.#view.getInt32(this.#step(4), true)
  u64 = (): number => Number(this.#view.getBigUint64(this.#step(8), true))
  f64 = (): number => this.#view.getFloat64(this.#step(8), true)
  text = (length: number): string => this.#bytes.toString('latin1', this.#step(length), this.at)
  zeros = (length: number): boolean => this.#bytes.subarray(this.#step(length), this.at).every((byte) => byte === 0)

  #step(length: number): number {
    this.at += length
    return this.at - length
  }
}

describe('the golden segment', () => {
  it('holds, read by hand after the specification, what was put into it, and not a byte more', () => {
    const bytes = new Bytes(segment)
    const { u32, i32, u64, f64, text, zeros } = bytes
    // Segment header.
    expect([text(4), u32(), u64(), u32(), u32(), f64(), u64(), u32(), zeros(16)]).toEqual([
      'WLSG',
      1,
      1000,
      0x1122_3344,
      3,
      1_700_000_000_000,
      1000,
      2,
      true,
    ])
    expect(u32()).toBe(crc32(segment.subarray(0, 60)))
    expect(bytes.at).toBe(64)
    // First batch.
    expect([u64(), u64(), u32(), u32(), u32(), text(4)]).toEqual([1000, 1000, 3, 0x1122_3344, 120, 'WLB1'])
    expect([u32(), u32()]).toEqual([xxh3(segment.subarray(104, 184)), crc32(segment.subarray(64, 100))])
    expect([u32(), u32(), f64(), f64()]).toEqual([1, 3, 1_700_000_000_010, 1_700_000_000_010])
    expect([u64(), u64(), u32(), zeros(12)]).toEqual([0x0a0b_0c0d_0e0f, 7, 1, true])
    expect([u32(), u32(), u32(), i32(), text(1), text(5), zeros(2)]).toEqual([5, 1, none, 0, 'k', 'hello', true])
    expect(bytes.at).toBe(184)
    // Second batch.
    expect([u64(), u64(), u32(), u32(), u32(), text(4)]).toEqual([1001, 1001, 3, 0x1122_3344, 144, 'WLB1'])
    expect([u32(), u32()]).toEqual([xxh3(segment.subarray(224, 328)), crc32(segment.subarray(184, 220))])
    expect([u32(), u32(), f64(), f64()]).toEqual([2, 3, 1_700_000_000_010, 1_700_000_000_010])
    expect([u64(), u64(), u32(), zeros(12)]).toEqual([0x0a0b_0c0d_0e0f, 8, 1, true])
    expect([u32(), u32(), u32(), i32(), text(4), zeros(4)]).toEqual([0, none, 4, 0, '\x81\xa1h\x01', true])
    expect([u32(), u32(), u32(), i32(), text(1), zeros(7)]).toEqual([none, 1, none, -5, 'k', true])
    expect(bytes.at).toBe(segment.length)
  })

  it('holds the same for our own decoder', () => {
    const region = Region.allocate(segment.length)
    region.u8.set(segment)
    expect(decodeSegmentHeader(region, 0, segment.length, 'f')).toEqual({
      segmentId: 0x1122_3344,
      baseOffset: 1000,
      leaseEpoch: 3,
      createdMs: 1_700_000_000_000,
      acknowledgedOffset: 1000,
      partition: 2,
    })
    const header = (at: number) => [
      checkBatch(region, at, segment.length - at),
      batchBaseOffset(region, at),
      batchAcknowledgedOffset(region, at),
      batchEpoch(region, at),
      batchSegmentId(region, at),
      batchLength(region, at),
      batchRecordCount(region, at),
      batchDurability(region, at),
      batchTimestampFirst(region, at),
      batchTimestampMax(region, at),
      batchProducerId(region, at),
      batchSequenceFirst(region, at),
      batchProducerEpoch(region, at),
    ]
    const latest = 1_700_000_000_010
    const producer = 0x0a0b_0c0d_0e0f
    expect(header(64)).toEqual(['sound', 1000, 1000, 3, 0x1122_3344, 120, 1, 3, latest, latest, producer, 7, 1])
    expect(header(184)).toEqual(['sound', 1001, 1001, 3, 0x1122_3344, 144, 2, 3, latest, latest, producer, 8, 1])
    const text = (value: string) => new TextEncoder().encode(value)
    expect(decodeRecords(region, 64)).toEqual([
      { key: text('k'), headers: null, value: text('hello'), timestamp: latest },
    ])
    expect(decodeRecords(region, 184)).toEqual([
      { key: null, headers: Uint8Array.of(0x81, 0xa1, 0x68, 1), value: new Uint8Array(), timestamp: latest },
      { key: text('k'), headers: null, value: null, timestamp: latest - 5 },
    ])
  })
})

describe('the golden index', () => {
  const producerChecksums = Buffer.concat([segment.subarray(96, 100), segment.subarray(216, 220)])

  it('holds, read by hand after the specification, what its segment is, and not a byte more', () => {
    const bytes = new Bytes(index)
    const { u32, u64, f64, text, zeros } = bytes
    expect([text(4), u32(), u32(), u32(), u64(), u64(), u64()]).toEqual(['WLIX', 1, 0x1122_3344, 1, 1000, 3, 328])
    expect([f64(), f64(), f64(), u64()]).toEqual([1_700_000_000_010, 1_700_000_000_010, 1_700_000_060_000, 2])
    expect([u32(), u32(), zeros(12)]).toEqual([crc32(producerChecksums), 3, true])
    const blank = Buffer.from(index)
    blank.writeUInt32LE(0, 92)
    expect(u32()).toBe(crc32(blank))
    expect(bytes.at).toBe(96)
    expect([u64(), u64(), f64()]).toEqual([1000, 64, 0])
    expect(bytes.at).toBe(index.length)
  })

  it('holds the same for our own decoder', () => {
    expect(decodeIndex(index, 'f')).toEqual({
      segmentId: 0x1122_3344,
      baseOffset: 1000,
      recordCount: 3,
      batchCount: 2,
      dataBytes: 328,
      timestampFirst: 1_700_000_000_010,
      timestampMax: 1_700_000_000_010,
      sealedMs: 1_700_000_060_000,
      epochLast: 3,
      digest: crc32(producerChecksums),
      entries: Float64Array.of(1000, 64, 0),
    })
  })
})

describe('the golden partition state', () => {
  it('holds, read by hand after the specification, what was put into it, and not a byte more', () => {
    const bytes = new Bytes(state)
    const { u32, u64, text, zeros } = bytes
    // Its second update has the number 4: slot 0 was written first, then slot 1.
    for (let slot = 0; slot < 2; slot++) {
      expect(bytes.at).toBe(slot * 4096)
      expect([text(4), u32(), u64(), u64(), zeros(36)]).toEqual(['WLPS', 1, 1002, 4, true])
      expect(u32()).toBe(crc32(state.subarray(slot * 4096, slot * 4096 + 60)))
      expect(zeros(4096 - 64)).toBe(true)
    }
    expect(bytes.at).toBe(state.length)
  })

  it('holds the same for our own decoder', () => {
    expect(decodePartitionState(state, 'f')).toEqual({ offsetFirst: 1002, sequence: 4, slot: 0 })
  })
})

describe('the specification', () => {
  it('has tables that leave out no byte of the structures that they describe', () => {
    const sizes: number[] = []
    for (const [, field, bytes] of SPECIFICATION.matchAll(/^\| +(\d+) \| +(\d+) \| .*\|$/gm)) {
      if (field === '0') sizes.push(0)
      expect(sizes[sizes.length - 1], `table ${sizes.length}`).toBe(Number(field))
      sizes[sizes.length - 1] += Number(bytes)
    }
    // Segment, batch and record header; index, gaps and producers header, each with its entries; compression header
    // and block entry; compaction state; partition state; watermarks and an entry; a cursor.
    expect(sizes).toEqual([64, 96, 16, 96, 24, 32, 32, 48, 24, 24, 64, 16, 64, 64, 64, 64, 32])
  })

  it('shows the golden segment as it is', () => {
    const shown = [...SPECIFICATION.matchAll(/^[0-9a-f]{3} {2}((?:[0-9a-f]{2} )*[0-9a-f]{2}) {3}/gm)]
    expect(shown.map(([, line]) => line.replaceAll(' ', '')).join('')).toBe(segment.toString('hex'))
  })

  it('is what today’s code writes, to the byte', () => {
    const directory = temporaryDirectory()
    makeGolden(directory)
    expect(fs.readdirSync(directory).sort()).toEqual([...NAMES].sort())
    expect(fs.readFileSync(path.join(directory, NAMES[0]))).toEqual(segment)
    expect(fs.readFileSync(path.join(directory, NAMES[1]))).toEqual(index)
    expect(fs.readFileSync(path.join(directory, NAMES[2]))).toEqual(state)
  })
})
