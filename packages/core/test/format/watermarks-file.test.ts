import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { Region } from '#core/format/region.js'
import {
  decodeWatermark,
  decodeWatermarksHeader,
  encodeWatermark,
  encodeWatermarkKey,
  encodeWatermarksHeader,
  WATERMARK_BYTES,
  WATERMARKS_FILE,
  watermarkKey,
  watermarkPlaces,
} from '#core/format/watermarks-file.js'
import { loadWatermarks, openWatermarks } from '#core/log/watermarks.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { temporaryDirectory } from '../support/temporary.js'

const HEADER = { opening: 0x1122_3344, pid: 4711, openedMs: 1_700_000_000_000 }
const WATERMARK = {
  offset: 2 ** 40 + 7,
  baseOffset: 2 ** 40,
  position: 8192,
  offsetFirst: 5,
  leaseEpoch: 3,
  opening: HEADER.opening,
}

function entry(): Region {
  const region = Region.allocate(WATERMARK_BYTES)
  encodeWatermarkKey(region, watermarkKey('t', 1_700_000_000_000, 2))
  encodeWatermark(region, WATERMARK)
  return region
}

// The bytes of version 1, which programs of this version have on their disks and exchange with others.
const HEADER_GOLDEN = `574c574d01000000443322116712000000008056febc7842${'00'.repeat(36)}`
const ENTRY_GOLDEN =
  '07000000000100000000000000010000' + '00200000000000000500000000000000' + '030000004433221100000000'

test('the header and an entry are, byte by byte, what docs/format.md says', () => {
  const header = Buffer.from(encodeWatermarksHeader(HEADER))
  expect(header.toString('hex', 0, 60)).toBe(HEADER_GOLDEN)
  expect(header.readUInt32LE(60)).toBe(crc32(header.subarray(0, 60)))
  const { bytes } = entry()
  expect(bytes.toString('hex', 0, 16)).toBe(watermarkKey('t', 1_700_000_000_000, 2))
  expect(bytes.toString('hex', 0, 16)).toBe('c09a6ef5356f4227879d905c35ad6c9d')
  expect(bytes.toString('hex', 16, 60)).toBe(ENTRY_GOLDEN)
  expect(bytes.readUInt32LE(60)).toBe(crc32(bytes.subarray(0, 60)))
})

test('what was written is read, and nothing of it with any bit flipped', () => {
  const region = entry()
  expect(decodeWatermark(region, 0)).toEqual(WATERMARK)
  const header = Region.allocate(WATERMARK_BYTES)
  header.u8.set(encodeWatermarksHeader(HEADER))
  expect(decodeWatermarksHeader(header)).toEqual(HEADER)
  for (let bit = 0; bit < 8 * WATERMARK_BYTES; bit++) {
    for (const { u8 } of [region, header]) u8[bit >>> 3] ^= 1 << (bit & 7)
    expect([bit, decodeWatermark(region, 0), decodeWatermarksHeader(header)]).toEqual([bit, undefined, undefined])
    for (const { u8 } of [region, header]) u8[bit >>> 3] ^= 1 << (bit & 7)
  }
})

test('an entry of which a part is another one is not taken', () => {
  const old = entry()
  const next = entry()
  encodeWatermark(next, { ...WATERMARK, offset: 9, position: 64 })
  for (let cut = 17; cut < 64; cut++) {
    const torn = Region.allocate(WATERMARK_BYTES)
    torn.u8.set(next.u8.subarray(0, cut))
    torn.u8.set(old.u8.subarray(cut), cut)
    const found = decodeWatermark(torn, 0)
    if (found !== undefined) expect([WATERMARK, { ...WATERMARK, offset: 9, position: 64 }]).toContainEqual(found)
  }
})

test('a topic that is made again has other keys', () => {
  const keys = [watermarkKey('t', 1, 0), watermarkKey('t', 2, 0), watermarkKey('t', 1, 1), watermarkKey('u', 1, 0)]
  expect(new Set(keys).size).toBe(4)
})

test('an opening keeps what the one before said; a file that is damaged is made anew', () => {
  const directory = temporaryDirectory()
  const disk = new NodeFileSystem()
  expect(openWatermarks(disk, directory, HEADER)).toEqual(new Map())
  const file = path.join(directory, WATERMARKS_FILE)
  const bytes = fs.readFileSync(file)
  bytes.set(entry().u8, 3 * WATERMARK_BYTES)
  fs.writeFileSync(file, bytes)
  const key = watermarkKey('t', 1_700_000_000_000, 2)
  expect(openWatermarks(disk, directory, { ...HEADER, opening: 5 })).toEqual(new Map([[key, 3 * WATERMARK_BYTES]]))
  const region = loadWatermarks(disk, directory)!
  expect(decodeWatermarksHeader(region)).toMatchObject({ opening: 5 })
  expect(decodeWatermark(region, watermarkPlaces(region).get(key)!)).toEqual(WATERMARK)
  bytes[9] ^= 1
  fs.writeFileSync(file, bytes.fill(1, 0, 64))
  expect(openWatermarks(disk, directory, HEADER)).toEqual(new Map())
})
