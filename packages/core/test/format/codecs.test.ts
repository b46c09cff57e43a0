import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  batchAcknowledgedOffset,
  batchBaseOffset,
  batchDurability,
  batchEpoch,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  batchSegmentId,
  batchSequenceFirst,
  batchTimestampFirst,
  batchTimestampMax,
  checkBatch,
  checkBatchHeader,
  stampBatch,
} from '#core/format/batch.js'
import { encodeBatch, encodeBatchInto } from '#core/format/batch-encoder.js'
import { checksum, checksumSmall, digestWord } from '#core/format/checksum.js'
import { BATCH_HEADER_BYTES } from '#core/format/layout.js'
import { decodeRecords, emptyRecordParts, type RawRecord, rawRecordBytes, readRecord } from '#core/format/record.js'
import { Region, readU64, writeU64 } from '#core/format/region.js'
import { decodeSegmentHeader, encodeSegmentHeader } from '#core/format/segment-header.js'
import { OFFSET_MAX } from '#core/limits.js'
import { refusal } from '../support/partition.js'
import { check, fc } from '../support/property.js'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const offset = fc.integer({ min: 0, max: OFFSET_MAX })
const part = fc.option(fc.uint8Array({ maxLength: 80 }))
const timestamp = fc.integer({ min: 1_700_000_000_000 - 2 ** 30, max: 1_700_000_000_000 + 2 ** 30 })
const record: fc.Arbitrary<RawRecord> = fc.record({ value: part, key: part, headers: part, timestamp })
const records = fc.array(record, { minLength: 1, maxLength: 12 })
const origin = fc.record({
  producerId: offset,
  producerEpoch: u32,
  sequenceFirst: offset,
  attributes: fc.integer({ min: 0, max: 7 }),
  timestampMs: timestamp,
})
const stamp = fc
  .record({ baseOffset: fc.integer({ min: 0, max: OFFSET_MAX - 100 }), leaseEpoch: u32, segmentId: u32, lag: u32 })
  .map(({ lag, ...rest }) => ({ ...rest, acknowledgedOffset: Math.max(rest.baseOffset - lag, 0) }))

function plain(list: readonly RawRecord[]): unknown[] {
  const bytes = (view: Uint8Array | null | undefined): number[] | null => (view ? [...view] : null)
  return list.map(({ value, key, headers, timestamp }) => [bytes(value), bytes(key), bytes(headers), timestamp])
}

describe('records', () => {
  it('come back as they went in: null and empty apart, keys, headers, times before the first', () => {
    check(fc.tuple(records, origin), ([list, from]) => {
      const { region } = encodeBatch(list, from)
      expect(plain(decodeRecords(region, 0))).toEqual(plain(list))
    })
  })

  it('keep an empty value, an empty key and empty headers apart from none', () => {
    const none: RawRecord = { value: null, key: null, headers: null, timestamp: 5 }
    const empty: RawRecord = { value: new Uint8Array(), key: new Uint8Array(), headers: new Uint8Array(), timestamp: 5 }
    const batch = encodeBatch([none, empty], { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs: 5 })
    expect(decodeRecords(batch.region, 0)).toEqual([none, empty])
  })

  it('are padded with zeros to 8 bytes, whatever lay there before', () => {
    check(fc.tuple(records, origin), ([list, from]) => {
      const length = BATCH_HEADER_BYTES + list.reduce((bytes, each) => bytes + rawRecordBytes(each), 0)
      expect(length % 8).toBe(0)
      const region = Region.allocate(length + 64)
      region.u8.fill(0xff)
      expect(encodeBatchInto(region, 32, list, from)).toBe(32 + length)
      const parts = emptyRecordParts()
      let at = 32 + BATCH_HEADER_BYTES
      for (const _ of list) {
        expect(readRecord(region, at, 32 + length, parts)).toBe(true)
        const padding = region.u8.subarray(parts.valueAt + Math.max(parts.valueLength, 0), parts.next)
        expect(padding.length).toBeLessThan(8)
        expect(padding.every((byte) => byte === 0)).toBe(true)
        at = parts.next
      }
      expect(region.u8.subarray(32 + length).every((byte) => byte === 0xff)).toBe(true)
    })
  })

  it('whose lengths point outside their batch are refused, up to the largest lengths', () => {
    const { region, length } = encodeBatch([{ value: new Uint8Array(8), key: new Uint8Array(8), timestamp: 1 }], {
      producerId: 0,
      producerEpoch: 0,
      sequenceFirst: 0,
      timestampMs: 1,
    })
    const word = BATCH_HEADER_BYTES >>> 2
    for (const lie of [17, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_fffe]) {
      for (const field of [0, 1, 2]) {
        const before = region.u32[word + field]
        region.u32[word + field] = lie
        expect(readRecord(region, BATCH_HEADER_BYTES, length, emptyRecordParts())).toBe(false)
        region.u32[word + field] = before
      }
    }
    expect(readRecord(region, length - 8, length, emptyRecordParts())).toBe(false)
  })

  it('that are fewer or more than the count says are refused by the decoder', () => {
    const { region } = encodeBatch([{ value: new Uint8Array(4) }, { value: new Uint8Array(4) }], {
      producerId: 0,
      producerEpoch: 0,
      sequenceFirst: 0,
      timestampMs: 1,
    })
    region.u32[40 >>> 2] = 1
    expect(() => decodeRecords(region, 0)).toThrow(/24 bytes of the batch belong to no record/)
    region.u32[40 >>> 2] = 3
    expect(() => decodeRecords(region, 0)).toThrow(/record 2 reaches outside/)
  })

  it('whose time is further than 2^31 ms from the first, or between two milliseconds, are refused, never rounded', () => {
    const from = { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs: 0 }
    const encode = (delta: number) =>
      encodeBatch(
        [
          { value: null, timestamp: 1e12 },
          { value: null, timestamp: 1e12 + delta },
        ],
        from,
      )
    for (const delta of [-(2 ** 31), 2 ** 31 - 1, -1]) {
      const { region } = encode(delta)
      expect(decodeRecords(region, 0)[1].timestamp).toBe(1e12 + delta)
    }
    for (const delta of [2 ** 31, -(2 ** 31) - 1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(refusal('INVALID_ARGUMENT', () => encode(delta)).field).toBe('timestamp')
    }
  })
})

describe('batches', () => {
  it('keep what producer and writer put into the header', () => {
    check(fc.tuple(records, origin, stamp), ([list, from, by]) => {
      const { region, length } = encodeBatch(list, from)
      stampBatch(region, 0, by)
      expect(checkBatch(region, 0, length)).toBe('sound')
      const times = list.map((each) => each.timestamp!)
      expect({
        baseOffset: batchBaseOffset(region, 0),
        acknowledgedOffset: batchAcknowledgedOffset(region, 0),
        leaseEpoch: batchEpoch(region, 0),
        segmentId: batchSegmentId(region, 0),
      }).toEqual(by)
      expect(batchRecordCount(region, 0)).toBe(list.length)
      expect(batchProducerId(region, 0)).toBe(from.producerId)
      expect(batchProducerEpoch(region, 0)).toBe(from.producerEpoch)
      expect(batchSequenceFirst(region, 0)).toBe(from.sequenceFirst)
      expect(batchDurability(region, 0)).toBe(from.attributes)
      expect(batchTimestampFirst(region, 0)).toBe(times[0])
      expect(batchTimestampMax(region, 0)).toBe(Math.max(...times))
    })
  })

  it('may be stamped again, and are sound under the last stamp', () => {
    check(fc.tuple(records, origin, stamp, stamp), ([list, from, first, second]) => {
      const { region, length } = encodeBatch(list, from)
      stampBatch(region, 0, first)
      stampBatch(region, 0, second)
      expect(checkBatch(region, 0, length)).toBe('sound')
      expect(batchBaseOffset(region, 0)).toBe(second.baseOffset)
    })
  })

  it('show every flipped bit', () => {
    const { region, length } = encodeBatch([{ value: new Uint8Array([1, 2, 3]), key: new Uint8Array(2) }], {
      producerId: 3,
      producerEpoch: 1,
      sequenceFirst: 9,
      timestampMs: 1e12,
    })
    stampBatch(region, 0, { baseOffset: 40, acknowledgedOffset: 39, leaseEpoch: 2, segmentId: 77 })
    for (let bit = 0; bit < length * 8; bit++) {
      region.u8[bit >>> 3] ^= 1 << (bit & 7)
      expect(checkBatch(region, 0, length), `bit ${bit}`).not.toBe('sound')
      region.u8[bit >>> 3] ^= 1 << (bit & 7)
    }
    expect(checkBatch(region, 0, length)).toBe('sound')
  })

  it('of which fewer bytes are there than they say are torn, and zeros are no batch', () => {
    const { region, length } = encodeBatch([{ value: new Uint8Array(20).fill(1) }], {
      producerId: 3,
      producerEpoch: 1,
      sequenceFirst: 9,
      timestampMs: 1e12,
    })
    stampBatch(region, 0, { baseOffset: 0, acknowledgedOffset: 0, leaseEpoch: 1, segmentId: 1 })
    expect(checkBatch(region, 0, 0)).toBe('zeros')
    // The stamp of a first batch begins with sixteen zeros.
    for (let available = 17; available < length; available++) expect(checkBatch(region, 0, available)).toBe('torn')
    expect(checkBatch(Region.allocate(96), 0, 96)).toBe('zeros')
    expect(checkBatch(Region.allocate(96), 0, 40)).toBe('zeros')
  })

  it('whose stamped header has numbers that no batch has are refused by the header alone', () => {
    const batch = () =>
      encodeBatch([{ value: new Uint8Array(8) }], { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs: 0 })
    const lies: Record<string, (region: Region) => void> = {
      'no records': (region) => (region.u32[40 >>> 2] = 0),
      'more records than its bytes hold': (region) => (region.u32[40 >>> 2] = 2),
      'a length that is no multiple of 8': (region) => (region.u32[24 >>> 2] = 124),
      'a length below the header': (region) => (region.u32[24 >>> 2] = 88),
      'a length beyond the largest batch': (region) => (region.u32[24 >>> 2] = 0xffff_fff8),
    }
    for (const [lie, tell] of Object.entries(lies)) {
      const { region } = batch()
      tell(region)
      stampBatch(region, 0, { baseOffset: 0, acknowledgedOffset: 0, leaseEpoch: 1, segmentId: 1 })
      expect(checkBatchHeader(region, 0, 120), lie).toBe('bad-header')
    }
    const { region } = batch()
    const stampedAt = (baseOffset: number, acknowledgedOffset: number) => {
      stampBatch(region, 0, { baseOffset, acknowledgedOffset, leaseEpoch: 1, segmentId: 1 })
      return checkBatchHeader(region, 0, 120)
    }
    expect(stampedAt(OFFSET_MAX - 1, 0)).toBe('sound')
    expect(stampedAt(OFFSET_MAX, 0), 'an offset beyond 2^53 - 1').toBe('bad-header')
    expect(stampedAt(2 ** 63, 0), 'an offset far beyond').toBe('bad-header')
    expect(stampedAt(5, 6), 'an acknowledgement of itself').toBe('bad-header')
  })
})

describe('segment headers', () => {
  const header = fc.record({
    segmentId: u32,
    baseOffset: offset,
    leaseEpoch: u32,
    createdMs: fc.double({ noNaN: true }),
    acknowledgedOffset: offset,
    partition: u32,
  })

  it('come back as they went in', () => {
    check(header, (value) => {
      const region = Region.allocate(64)
      encodeSegmentHeader(region, 0, value)
      expect(decodeSegmentHeader(region, 0, 64, 'f')).toEqual(value)
    })
  })

  it('show every flipped bit and every missing byte', () => {
    const region = Region.allocate(64)
    const value = { segmentId: 9, baseOffset: 5, leaseEpoch: 1, createdMs: 1e12, acknowledgedOffset: 5, partition: 2 }
    encodeSegmentHeader(region, 0, value)
    for (let bit = 0; bit < 512; bit++) {
      region.u8[bit >>> 3] ^= 1 << (bit & 7)
      expect(decodeSegmentHeader(region, 0, 64, 'f'), `bit ${bit}`).toBeUndefined()
      region.u8[bit >>> 3] ^= 1 << (bit & 7)
    }
    for (let bytes = 0; bytes < 64; bytes++) expect(decodeSegmentHeader(region, 0, bytes, 'f')).toBeUndefined()
  })

  it('of another version, or with fields that this one does not know, are refused by name', () => {
    for (const at of [4, 48, 59]) {
      const region = Region.allocate(64)
      const value = { segmentId: 9, baseOffset: 5, leaseEpoch: 1, createdMs: 1e12, acknowledgedOffset: 5, partition: 2 }
      encodeSegmentHeader(region, 0, value)
      region.u8[at] = 2
      region.u32[60 >>> 2] = checksumSmall(region, 0, 60)
      expect(refusal('FORMAT_VERSION', () => decodeSegmentHeader(region, 0, 64, 'some.log')).file).toBe('some.log')
    }
  })
})

describe('numbers and checksums', () => {
  it('keep every offset exactly', () => {
    const region = Region.allocate(8)
    check(offset, (value) => {
      writeU64(region, 0, value)
      expect(readU64(region, 0)).toBe(value)
      expect(new DataView(region.u8.buffer).getBigUint64(0, true)).toBe(BigInt(value))
    })
  })

  it('are the same CRC-32 by zlib, by table and word by word', () => {
    check(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const region = Region.allocate(bytes.length)
      region.u8.set(bytes)
      expect(checksum(region, 0, bytes.length)).toBe(crc32(bytes))
      expect(checksumSmall(region, 0, bytes.length)).toBe(crc32(bytes))
    })
    check(fc.array(u32, { maxLength: 20 }), (words) => {
      expect(words.reduce(digestWord, 0) >>> 0).toBe(crc32(new Uint8Array(new Uint32Array(words).buffer)))
    })
  })
})
