import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeBatch } from '#core/format/batch-encoder.js'
import { SEGMENT_HEADER_BYTES } from '#core/format/layout.js'
import { OFFSET_MAX, PREALLOCATE_BYTES } from '#core/limits.js'
import { IndexBuilder } from '#core/segment/index-builder.js'
import { scanSegment } from '#core/segment/scan.js'
import { loadIndex, type RolledSegment, readSegmentHeader, sealSegment } from '#core/segment/seal.js'
import { indexFileName, segmentBases, segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import {
  append,
  appendSynced,
  openPartition,
  readRecords,
  readValues,
  refusal,
  textBatch,
} from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

const values = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `v${from + index}`)

/** The index that a scan of the segment's file gives. */
function indexByScan(directory: string, base: number) {
  const name = path.join(directory, segmentFileName(base))
  const file = new NodeFileSystem().open(name, 'read')
  const header = readSegmentHeader(file, name)!
  const builder = new IndexBuilder()
  const { position: dataBytes, damage } = scanSegment({
    file,
    segmentId: header.segmentId,
    position: SEGMENT_HEADER_BYTES,
    offset: base,
    onBatch: (region, at, position) => builder.add(region, at, position),
  })
  file.close()
  expect(damage).toBeUndefined()
  return builder.finish({ segmentId: header.segmentId, baseOffset: base, dataBytes, sealedMs: 1_700_000_000_000 })
}

describe('a partition log', () => {
  it('gives consecutive offsets, and every one of them can be read, also from the middle of a batch', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    let next = 0
    for (const count of [1, 5, 2, 1, 9, 3]) {
      expect(append(log, ...values(count, next))).toBe(next)
      next += count
    }
    expect(log.offsetNext).toBe(21)
    for (let offset = 0; offset < next; offset++) {
      const expected = values(next - offset, offset).map((value, index) => ({ offset: offset + index, value }))
      expect(readRecords(directory, offset, next)).toEqual(expected)
    }
    log.close()
  })

  it('shows a reader nothing at or beyond the watermark', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (const value of values(5)) append(log, value)
    for (let watermark = 0; watermark <= 5; watermark++) {
      expect(readRecords(directory, 0, watermark).length).toBe(watermark)
    }
    log.close()
  })

  it('rolls before the batch that would make a segment too long, and that one goes first into the next', () => {
    const directory = temporaryDirectory()
    // A batch of one two-letter record has 96 + 16 + 8 bytes; five of them and the header fit.
    const log = openPartition(directory, { segmentBytes: 64 + 5 * 120 })
    for (const value of values(13)) append(log, value)
    expect(log.bases).toEqual([0, 5, 10])
    expect(segmentBases(fs.readdirSync(directory))).toEqual([0, 5, 10])
    expect(readValues(directory, log)).toEqual(values(13))
    log.close()
  })

  it('rolls by entries, and never tears a batch', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 10 })
    let next = 0
    for (const count of [4, 4, 4, 25, 1, 9]) {
      append(log, ...values(count, next))
      next += count
    }
    expect(log.bases).toEqual([0, 8, 12, 37])
    expect(readValues(directory, log)).toEqual(values(next))
    log.close()
  })

  it('gives a batch that is larger than a segment a segment of its own', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentBytes: 4096 })
    append(log, 'small')
    append(log, 'x'.repeat(20_000))
    append(log, 'small again')
    expect(log.bases).toEqual([0, 1, 2])
    expect(readValues(directory, log)).toEqual(['small', 'x'.repeat(20_000), 'small again'])
    log.close()
    expect(openPartition(directory).offsetNext).toBe(3)
  })

  it('seals with an index that says what a scan of the segment says, digest included', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentBytes: 400_000 })
    for (let batch = 0; batch < 300; batch++) append(log, ...values(3, batch), 'y'.repeat(batch * 40))
    expect(log.bases.length).toBeGreaterThan(3)
    for (const base of log.bases.slice(0, -1)) {
      const index = loadIndex(new NodeFileSystem(), directory, base)!
      expect(index).toEqual(indexByScan(directory, base))
      expect(index.dataBytes).toBe(fs.statSync(path.join(directory, segmentFileName(base))).size)
    }
    log.close()
  })

  it('may roll at any time: an empty segment just stays', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    log.roll()
    append(log, 'a')
    log.roll()
    log.roll()
    append(log, 'b')
    expect(log.bases).toEqual([0, 1])
    expect(readValues(directory, log)).toEqual(['a', 'b'])
    log.close()
  })

  it('leaves sealing to the caller who asks for it; until then the segment can be read, and a reopening seals it', () => {
    const directory = temporaryDirectory()
    const rolled: RolledSegment[] = []
    const log = openPartition(directory, { segmentEntries: 2, onRolled: (segment) => rolled.push(segment) })
    for (const value of values(7)) append(log, value)
    expect(rolled.map(({ baseOffset }) => baseOffset)).toEqual([0, 2, 4])
    expect(fs.readdirSync(directory).filter((name) => name.endsWith('.index'))).toEqual([])
    expect(readValues(directory, log)).toEqual(values(7))
    sealSegment(new NodeFileSystem(), directory, rolled[0], 5)
    expect(readValues(directory, log)).toEqual(values(7))
    log.abandon()
    const again = openPartition(directory)
    expect(fs.readdirSync(directory).filter((name) => name.endsWith('.index'))).toEqual([0, 2, 4].map(indexFileName))
    expect(readValues(directory, again)).toEqual(values(7))
    again.close()
  })

  it('goes on where it was, however it was left, and gives each opening that writes a higher lease epoch', () => {
    const directory = temporaryDirectory()
    for (let round = 0; round < 6; round++) {
      const log = openPartition(directory, { segmentEntries: 4 })
      expect(log.offsetNext).toBe(round * 3)
      expect(log.leaseEpoch).toBe(round + 1)
      append(log, ...values(3, round * 3))
      if (round % 2 === 0) log.close()
      else log.abandon()
    }
    const log = openPartition(directory)
    expect(readValues(directory, log)).toEqual(values(18))
    log.close()
  })

  it('reserves the file ahead of the data, and gives the rest back when it closes', () => {
    const directory = temporaryDirectory()
    const file = path.join(directory, segmentFileName(0))
    const log = openPartition(directory, { segmentBytes: 1 << 30 })
    append(log, 'a')
    expect(fs.statSync(file).size).toBe(PREALLOCATE_BYTES)
    log.close()
    expect(fs.statSync(file).size).toBe(64 + 120)
    const again = openPartition(directory, { segmentBytes: 1 << 30 })
    append(again, 'b')
    expect(fs.statSync(file).size).toBeGreaterThan(PREALLOCATE_BYTES)
    again.abandon()
    const last = openPartition(directory)
    expect(readValues(directory, last)).toEqual(['a', 'b'])
    last.close()
  })

  it('resumes from a known-good point: what is before it is not read, what is behind it is shown', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 5 })
    for (const value of values(7)) append(log, value)
    const knownGood = { baseOffset: 5, position: log.positionWritten, offset: 7 }
    append(log, 'v7')
    for (const value of values(4, 8)) append(log, value)
    expect(log.bases).toEqual([0, 5, 10])
    log.abandon()
    const recovered: number[] = []
    const again = openPartition(directory, {
      knownGood,
      leaseEpoch: 9,
      onRecovered: (region, at) => recovered.push(Number(new DataView(region.u8.buffer).getBigUint64(at, true))),
    })
    expect(recovered).toEqual([7, 8, 9, 10, 11])
    expect(again.leaseEpoch).toBe(9)
    expect(readValues(directory, again)).toEqual(values(12))
    again.close()
    expect(() => openPartition(directory, { knownGood: { baseOffset: 10, position: 4096, offset: 50 } })).toThrow(
      /SEGMENT_CORRUPT.*ends before byte 4096/,
    )
  })

  it('seals a segment that it resumed in its middle with the index of all of it', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, ...values(3))
    const knownGood = { baseOffset: 0, position: log.positionWritten, offset: 3 }
    log.abandon()
    const again = openPartition(directory, { knownGood })
    append(again, 'v3')
    again.roll()
    append(again, 'v4')
    const index = loadIndex(new NodeFileSystem(), directory, 0)!
    expect({ ...index, sealedMs: 1_700_000_000_000 }).toEqual(indexByScan(directory, 0))
    expect(readValues(directory, again)).toEqual(values(5))
    again.close()
  })

  it('refuses offsets beyond 2^53 - 1, and batches without records', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    const { region } = textBatch(['a'])
    region.u32[40 >>> 2] = 0
    expect(() => log.stage(region, 0)).toThrow(/a staged batch has a record/)
    expect(() => encodeBatch([], { producerId: 0, producerEpoch: 0, sequenceFirst: 0, timestampMs: 0 })).toThrow()
    log.close()

    const far = temporaryDirectory()
    fs.renameSync(path.join(directory, segmentFileName(0)), path.join(far, segmentFileName(OFFSET_MAX - 1)))
    expect(segmentBases([segmentFileName(OFFSET_MAX), `${'9'.repeat(20)}.log`])).toEqual([OFFSET_MAX])
    expect(refusal('SEGMENT_CORRUPT', () => openPartition(far)).message).toMatch(/begins with offset 0 by its header/)
  })

  it('keeps the acknowledged offset of its stamps at or below the offset that it gives', () => {
    const log = openPartition(temporaryDirectory())
    log.acknowledgedOffset = 1
    expect(() => append(log, 'a')).toThrow(/acknowledgedOffset <= offsetStaged/)
    log.acknowledgedOffset = 0
    appendSynced(log, 'a')
    append(log, 'b')
    log.close()
  })
})
