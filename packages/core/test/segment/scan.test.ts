import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { stampBatch } from '#core/format/batch.js'
import { encodeBatch } from '#core/format/batch-encoder.js'
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '#core/format/layout.js'
import { READ_CHUNK_BYTES } from '#core/limits.js'
import { findBatches, type ScanResult, scanSegment } from '#core/segment/scan.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { temporaryDirectory } from '../support/temporary.js'

const SEGMENT_ID = 4711

/** A stamped batch of exactly `bytes` bytes, with one record. */
function batchOf(bytes: number, baseOffset: number, acknowledgedOffset = 0, segmentId = SEGMENT_ID): Buffer {
  const value = new Uint8Array(bytes - BATCH_HEADER_BYTES - 16).fill(0xa5)
  const { region, length } = encodeBatch([{ value }], {
    producerId: 1,
    producerEpoch: 1,
    sequenceFirst: baseOffset,
    timestampMs: 1,
  })
  stampBatch(region, 0, { baseOffset, acknowledgedOffset, leaseEpoch: 1, segmentId })
  expect(length).toBe(bytes)
  return Buffer.from(region.u8.buffer, 0, length)
}

function withFile<Result>(parts: readonly Uint8Array[], use: (file: string) => Result): Result {
  const file = path.join(temporaryDirectory(), 'segment')
  fs.writeFileSync(file, Buffer.concat([Buffer.alloc(SEGMENT_HEADER_BYTES), ...parts]))
  return use(file)
}

function scan(parts: readonly Uint8Array[]): ScanResult & { positions: number[]; laterPositions: number[] } {
  return withFile(parts, (name) => {
    const file = new NodeFileSystem().open(name, 'read')
    const positions: number[] = []
    const laterPositions: number[] = []
    try {
      const result = scanSegment({
        file,
        segmentId: SEGMENT_ID,
        position: SEGMENT_HEADER_BYTES,
        offset: 0,
        onBatch: (_region, _at, position) => positions.push(position),
        onLaterBatch: (_region, _at, position) => laterPositions.push(position),
      })
      return { ...result, positions, laterPositions }
    } finally {
      file.close()
    }
  })
}

describe('a scan', () => {
  it('reads on across the end of its window wherever a batch lies on it, by the byte', () => {
    // The second batch begins from just before to just behind the window's end, which is 64 bytes into the file's second MiB.
    for (let shift = -3 * 8; shift <= 16 * 8; shift += 8) {
      const first = READ_CHUNK_BYTES - BATCH_HEADER_BYTES - 24 + shift
      const result = scan([batchOf(first, 0), batchOf(4096, 1), batchOf(128, 2)])
      expect(result.damage, `shift ${shift}`).toBeUndefined()
      expect(result.positions).toEqual([64, 64 + first, 64 + first + 4096])
      expect(result.offsetNext).toBe(3)
    }
  })

  it('reads batches that are larger than its window, one behind the other', () => {
    const large = 2 * READ_CHUNK_BYTES + 8
    const result = scan([batchOf(large, 0), batchOf(3 * READ_CHUNK_BYTES, 1), batchOf(128, 2)])
    expect(result.damage).toBeUndefined()
    expect(result.offsetNext).toBe(3)
  })

  it('finds a later batch on the end of its window, wherever it lies, by the byte', () => {
    const damaged = batchOf(4096, 0)
    damaged[2000] ^= 1
    for (let shift = -16 * 8; shift <= 16 * 8; shift += 8) {
      // Behind the damage the search window begins 8 bytes into the damaged batch; zeros lie in between.
      const gap = READ_CHUNK_BYTES - 4096 + shift
      const result = scan([damaged, Buffer.alloc(gap), batchOf(256, 7, 3)])
      expect(result.damage).toMatchObject({ position: 64, reason: 'bad-checksum', offset: 0 })
      expect(result.laterPositions, `shift ${shift}`).toEqual([64 + 4096 + gap])
      expect(result.later).toMatchObject({ batchCount: 1, offsetFirst: 7, acknowledgedOffset: 3 })
    }
  })

  it('finds a whole batch that ends with the file, and none of which a byte is missing', () => {
    const damaged = batchOf(128, 0)
    damaged[127] ^= 1
    const last = batchOf(136, 1, 1)
    expect(scan([damaged, last]).later.batchCount).toBe(1)
    for (const missing of [1, 8, 40, 41, 135]) {
      expect(scan([damaged, last.subarray(0, 136 - missing)]).later.batchCount, `${missing} missing`).toBe(0)
    }
  })

  it('names what it found: torn, bad header, bad checksum, wrong offset, foreign, zeros with something behind', () => {
    const whole = batchOf(128, 0)
    const reason = (...parts: Uint8Array[]) => scan([whole, ...parts]).damage?.reason
    expect(reason()).toBeUndefined()
    expect(reason(Buffer.alloc(1)), 'one zero').toBeUndefined()
    expect(reason(Buffer.alloc(3 * READ_CHUNK_BYTES)), 'many zeros').toBeUndefined()
    expect(reason(batchOf(128, 1).subarray(0, 120))).toBe('torn')
    expect(reason(batchOf(128, 1).subarray(0, 90))).toBe('torn')
    expect(reason(Buffer.alloc(128, 1))).toBe('bad-header')
    const damaged = batchOf(128, 1)
    damaged[120] ^= 1
    expect(reason(damaged)).toBe('bad-checksum')
    expect(reason(batchOf(128, 2))).toBe('wrong-offset')
    expect(reason(batchOf(128, 0))).toBe('wrong-offset')
    expect(reason(batchOf(128, 1, 0, SEGMENT_ID + 1))).toBe('foreign')
    expect(reason(Buffer.alloc(READ_CHUNK_BYTES), Buffer.of(1))).toBe('after-zeros')
  })

  it('counts the batch that stands where an earlier one was taken out among those behind the damage', () => {
    const result = scan([batchOf(128, 0), batchOf(128, 2, 2)])
    expect(result.damage?.reason).toBe('wrong-offset')
    expect(result.later).toMatchObject({ batchCount: 1, offsetFirst: 2, acknowledgedOffset: 2 })
  })

  it('takes no batch for a later one that is of another segment, or repeats offsets that are there', () => {
    const damaged = batchOf(128, 1)
    damaged[120] ^= 1
    const parts = [batchOf(128, 0), damaged, batchOf(128, 0), batchOf(128, 9, 9, SEGMENT_ID + 1)]
    expect(scan(parts).later).toMatchObject({ batchCount: 0, acknowledgedOffset: 0 })
  })

  it('goes through bytes that look like batches again and again in time that grows with their number only', () => {
    const damaged = batchOf(128, 0)
    damaged[120] ^= 1
    // Each of these headers claims a body of 64 MiB; none is the segment's.
    const claims = batchOf(64 * READ_CHUNK_BYTES, 5, 0, SEGMENT_ID + 1).subarray(0, BATCH_HEADER_BYTES)
    const result = scan([damaged, ...Array.from({ length: 50_000 }, () => claims)])
    expect(result.later.batchCount).toBe(0)
  })

  it('of a file without header finds the batches of any segment', () => {
    withFile([batchOf(128, 0, 0, 1), batchOf(128, 5, 4, 2)], (name) => {
      const file = new NodeFileSystem().open(name, 'read')
      expect(findBatches(file, undefined, 0)).toMatchObject({ batchCount: 2, acknowledgedOffset: 4 })
      expect(findBatches(file, undefined, 1)).toMatchObject({ batchCount: 1, offsetFirst: 5 })
      expect(findBatches(file, 1, 0)).toMatchObject({ batchCount: 1, acknowledgedOffset: 0 })
      file.close()
    })
  })
})
