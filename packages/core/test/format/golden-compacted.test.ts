import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { expect, it } from 'vitest'
import { compactSegment } from '#core/compaction/compact-segment.js'
import { LatestKeys } from '#core/compaction/latest-keys.js'
import { batchKeptCount, batchLength, batchRecordCount, batchRecordOffset, checkBatch } from '#core/format/batch.js'
import { decodeIndex } from '#core/format/index-file.js'
import { decodeRecords } from '#core/format/record.js'
import { Region } from '#core/format/region.js'
import { decodeSegmentHeader } from '#core/format/segment-header.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { GOLDEN_BASE_OFFSET, GOLDEN_DIRECTORY, makeGolden } from '../support/golden.js'
import { makeXxh3 } from '../support/xxh3.js'

// The golden segment after compaction, where a later segment has another record of its key `k`: see golden.test.ts.
const DIRECTORY = fileURLToPath(new URL('../golden-compacted/', import.meta.url))
const NAMES = [segmentFileName(GOLDEN_BASE_OFFSET), indexFileName(GOLDEN_BASE_OFFSET)]

function makeCompacted(directory: string): void {
  makeGolden(directory)
  const latest = new LatestKeys()
  const key = Region.allocate(8)
  key.u8[0] = 'k'.charCodeAt(0)
  latest.note(key, 0, 1, GOLDEN_BASE_OFFSET + 3)
  const options = { fs: new NodeFileSystem(), directory, baseOffset: GOLDEN_BASE_OFFSET, latest }
  compactSegment({ ...options, dropsTombstones: false, isStopped: () => false })
}

const fresh = fs.mkdtempSync(path.join(os.tmpdir(), 'walrus-core-'))
makeCompacted(fresh)
if (process.env['WALRUS_MAKE_GOLDEN']) {
  for (const name of NAMES) fs.copyFileSync(path.join(fresh, name), path.join(DIRECTORY, name))
}

const raw = fs.readFileSync(path.join(GOLDEN_DIRECTORY, NAMES[0]))
const [segment, index] = NAMES.map((name) => fs.readFileSync(path.join(DIRECTORY, name)))
const xxh3 = await makeXxh3()
const none = 0xffff_ffff

it('the golden segment after compaction holds, read by hand after the specification, what is left of it', () => {
  const word = (at: number) => segment.readUInt32LE(at)
  const wide = (at: number) => Number(segment.readBigUInt64LE(at))
  // Segment header: another generation.
  const header = Buffer.from(raw.subarray(0, 64))
  header.writeUInt32LE(1, 44)
  header.writeUInt32LE(crc32(header.subarray(0, 60)), 60)
  expect(segment.subarray(0, 64)).toEqual(header)
  // Nothing is left of the first batch: what it spans, and whose segment it was in.
  expect([wide(64), wide(72), word(80), word(84), word(88)]).toEqual([1000, 1000, 3, 0x1122_3344, 96])
  expect([word(96), word(100)]).toEqual([xxh3(segment.subarray(104, 160)), crc32(segment.subarray(64, 100))])
  expect([word(104), word(108)]).toEqual([1, 8])
  expect([segment.readDoubleLE(112), segment.readDoubleLE(120)]).toEqual([1_700_000_000_010, 1_700_000_000_010])
  expect([wide(128), wide(136), word(144), word(148), wide(152)]).toEqual([0, 0, 0, 0, 0])
  // Of the second, its first record: 16 bytes, headers of 4 and 4 of padding, and the table of one offset.
  expect([wide(160), wide(168), word(176), word(180), word(184)]).toEqual([1001, 1001, 3, 0x1122_3344, 96 + 24 + 8])
  expect([word(192), word(196)]).toEqual([xxh3(segment.subarray(200, 288)), crc32(segment.subarray(160, 196))])
  expect([word(200), word(204)]).toEqual([2, 8 | 3])
  expect([segment.readDoubleLE(208), segment.readDoubleLE(216)]).toEqual([1_700_000_000_010, 1_700_000_000_010])
  expect([wide(224), wide(232), word(240), word(244), wide(248)]).toEqual([0x0a0b_0c0d_0e0f, 8, 1, 1, 0])
  expect(segment.subarray(256, 280)).toEqual(raw.subarray(280, 304))
  expect([word(256), word(260), word(264), word(268)]).toEqual([0, none, 4, 0])
  expect([word(280), word(284), segment.length]).toEqual([0, 0, 288])
})

it('the golden segment after compaction holds the same for our own decoder', () => {
  const region = Region.allocate(segment.length)
  region.u8.set(segment)
  expect(decodeSegmentHeader(region, 0, segment.length, 'f')?.generation).toBe(1)
  const facts = (at: number) => [
    checkBatch(region, at, segment.length - at),
    batchLength(region, at),
    batchRecordCount(region, at),
    batchKeptCount(region, at),
  ]
  expect([facts(64), facts(160)]).toEqual([
    ['sound', 96, 1, 0],
    ['sound', 128, 2, 1],
  ])
  expect(decodeRecords(region, 64)).toEqual([])
  expect(batchRecordOffset(region, 160, 0)).toBe(1001)
  expect(decodeRecords(region, 160)).toMatchObject([{ key: null, value: new Uint8Array() }])
  expect(decodeIndex(index, 'f')).toMatchObject({ generation: 1, recordCount: 3, batchCount: 2, dataBytes: 288 })
  expect(index.readUInt32LE(80)).toBe(1)
})

it('the golden segment after compaction is what today’s code writes, to the byte', () => {
  for (const [place, name] of NAMES.entries()) {
    expect(fs.readFileSync(path.join(fresh, name))).toEqual([segment, index][place])
  }
  fs.rmSync(fresh, { recursive: true })
})
