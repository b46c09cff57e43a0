import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decodeIndex, encodeIndex, type SegmentIndex } from '#core/format/index-file.js'
import { INDEX_BYTES_MAX, OFFSET_MAX } from '#core/limits.js'
import { refusal } from '../support/partition.js'
import { check, fc } from '../support/property.js'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })

const index: fc.Arbitrary<SegmentIndex> = fc
  .record({
    segmentId: u32,
    baseOffset: fc.integer({ min: 0, max: 2 ** 52 }),
    batchCount: u32,
    timestampFirst: fc.double({ noNaN: true }),
    timestampMax: fc.double({ noNaN: true }),
    sealedMs: fc.double({ noNaN: true }),
    epochLast: u32,
    digest: u32,
    steps: fc.array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 8192 }), fc.integer())),
  })
  .map(({ steps, ...rest }) => {
    let offset = rest.baseOffset
    let position = 64
    const entries = steps.flatMap(([records, words, timestampMax]) => {
      const entry = [offset, position, timestampMax]
      offset += records
      position += words * 8
      return entry
    })
    return {
      ...rest,
      recordCount: offset - rest.baseOffset,
      dataBytes: position,
      entries: Float64Array.from(entries),
    }
  })

function sample(change: Partial<SegmentIndex> = {}): SegmentIndex {
  return {
    segmentId: 1,
    baseOffset: 100,
    recordCount: 10,
    batchCount: 3,
    dataBytes: 4096,
    timestampFirst: 1,
    timestampMax: 2,
    sealedMs: 3,
    epochLast: 1,
    digest: 5,
    entries: Float64Array.of(100, 64, 0, 105, 2048, 1),
    ...change,
  }
}

describe('index files', () => {
  it('come back as they went in', () => {
    check(index, (value) => expect(decodeIndex(encodeIndex(value), 'f')).toEqual(value))
  })

  it('show every flipped bit', () => {
    const bytes = encodeIndex(sample())
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3] ^= 1 << (bit & 7)
      expect(refusal('SEGMENT_CORRUPT', () => decodeIndex(bytes, 'some.index')).file, `bit ${bit}`).toBe('some.index')
      bytes[bit >>> 3] ^= 1 << (bit & 7)
    }
  })

  it('that are shorter or longer by any number of bytes are refused', () => {
    const bytes = encodeIndex(sample())
    for (let length = 0; length < bytes.length; length++) {
      refusal('SEGMENT_CORRUPT', () => decodeIndex(bytes.subarray(0, length), 'f'))
    }
    refusal('SEGMENT_CORRUPT', () => decodeIndex(Buffer.concat([bytes, Buffer.alloc(24)]), 'f'))
    refusal('SEGMENT_CORRUPT', () => decodeIndex(new Uint8Array(INDEX_BYTES_MAX + 1), 'f'))
  })

  it('of another version, or with fields that this one does not know, are refused by name', () => {
    for (const at of [4, 84, 91]) {
      const bytes = Buffer.from(encodeIndex(sample()))
      bytes[at] = 2
      bytes.writeUInt32LE(0, 92)
      bytes.writeUInt32LE(crc32(bytes), 92)
      refusal('FORMAT_VERSION', () => decodeIndex(bytes, 'f'))
    }
  })

  it('that are sound, and name what their segment cannot have, are refused', () => {
    const lies: Record<string, Partial<SegmentIndex>> = {
      'offsets beyond 2^53 - 1': { baseOffset: OFFSET_MAX, entries: Float64Array.of() },
      'data that ends inside the header': { dataBytes: 63, entries: Float64Array.of() },
      'data beyond the largest segment': { dataBytes: 2 ** 40 },
      'an entry before the segment': { entries: Float64Array.of(99, 64, 0) },
      'an entry behind the last record': { entries: Float64Array.of(110, 64, 0) },
      'an entry inside the segment header': { entries: Float64Array.of(100, 56, 0) },
      'an entry behind the data': { entries: Float64Array.of(100, 4096, 0) },
      'an entry between two aligned bytes': { entries: Float64Array.of(100, 68, 0) },
      'offsets that fall': { entries: Float64Array.of(105, 64, 0, 100, 128, 0) },
      'positions that fall': { entries: Float64Array.of(100, 128, 0, 105, 64, 0) },
    }
    for (const [lie, change] of Object.entries(lies)) {
      expect(() => decodeIndex(encodeIndex(sample(change)), 'f'), lie).toThrow(/SEGMENT_CORRUPT/)
    }
  })
})
