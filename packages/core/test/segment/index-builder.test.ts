import { describe, expect, it } from 'vitest'
import { batchLength, stampBatch } from '#core/format/batch.js'
import { encodeBatch } from '#core/format/batch-encoder.js'
import { INDEX_INTERVAL_BYTES } from '#core/limits.js'
import { findOffset, findTimestamp, IndexBuilder } from '#core/segment/index-builder.js'
import { check, fc } from '../support/property.js'

interface Placed {
  offset: number
  position: number
  timestampMax: number
}

/** Batches of the given value sizes and times, one record each, as they would lie in a segment. */
function build(batches: readonly (readonly [bytes: number, timestampMs: number])[]): {
  placed: Placed[]
  builder: IndexBuilder
} {
  const builder = new IndexBuilder()
  const placed: Placed[] = []
  let position = 64
  for (const [offset, [bytes, timestampMs]] of batches.entries()) {
    const origin = { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs }
    const { region } = encodeBatch([{ value: new Uint8Array(bytes) }], origin)
    stampBatch(region, 0, { baseOffset: offset, acknowledgedOffset: 0, leaseEpoch: 3, segmentId: 1 })
    builder.add(region, 0, position)
    placed.push({ offset, position, timestampMax: timestampMs })
    position += batchLength(region, 0)
  }
  return { placed, builder }
}

const segment = { segmentId: 1, baseOffset: 0, dataBytes: 0, sealedMs: 0 }
const batches = fc.array(
  fc.tuple(fc.integer({ min: 0, max: 3 * INDEX_INTERVAL_BYTES }), fc.integer({ min: -1000, max: 1000 })),
  { minLength: 1, maxLength: 30 },
)

describe('the index builder', () => {
  it('names the first batch, and then one at least every interval apart', () => {
    check(batches, (list) => {
      const { placed, builder } = build(list)
      const { entries } = builder.finish(segment)
      expect([entries[0], entries[1]]).toEqual([0, 64])
      for (let entry = 3; entry < entries.length; entry += 3) {
        expect(entries[entry + 1] - entries[entry - 2]).toBeGreaterThanOrEqual(INDEX_INTERVAL_BYTES)
        expect(placed[entries[entry]].position).toBe(entries[entry + 1])
      }
    })
  })

  it('finds for every offset the last named batch at or before it', () => {
    check(batches, (list) => {
      const { placed, builder } = build(list)
      const { entries } = builder.finish(segment)
      for (const { offset, position } of placed) {
        const found = findOffset(entries, offset)!
        expect(found.offset).toBeLessThanOrEqual(offset)
        expect(position - found.position).toBeLessThan(4 * INDEX_INTERVAL_BYTES + 1000)
        expect(placed[found.offset].position).toBe(found.position)
      }
      expect(findOffset(entries, -1)).toBeUndefined()
    })
  })

  it('finds for every time a batch before which all is earlier, and misses none at or behind it', () => {
    check(fc.tuple(batches, fc.integer({ min: -1100, max: 1100 })), ([list, timestampMs]) => {
      const { placed, builder } = build(list)
      const found = findTimestamp(builder.finish(segment).entries, timestampMs)!
      for (const before of placed.slice(0, found.offset)) expect(before.timestampMax).toBeLessThan(timestampMs)
    })
  })

  it('counts batches, records and the range of times, negative ones too', () => {
    const { builder } = build([
      [0, -5],
      [10, -9],
      [0, -7],
    ])
    expect(builder.finish(segment)).toMatchObject({
      batchCount: 3,
      recordCount: 3,
      timestampFirst: -9,
      timestampMax: -5,
      epochLast: 3,
    })
    expect(new IndexBuilder().finish(segment)).toMatchObject({ batchCount: 0, recordCount: 0, digest: 0 })
  })

  it('finds nothing in an index without entries', () => {
    expect(findOffset(new Float64Array(), 5)).toBeUndefined()
    expect(findTimestamp(new Float64Array(), 5)).toBeUndefined()
  })
})
