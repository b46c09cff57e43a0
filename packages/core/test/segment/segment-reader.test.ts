import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { batchBaseOffset, batchLength } from '#core/format/batch.js'
import { Region } from '#core/format/region.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { type ReadPosition, SegmentReader } from '#core/segment/segment-reader.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { append, openPartition, readRecords, refusal, START_MS, textBatch } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

function readerOf(directory: string): SegmentReader {
  return new SegmentReader(new NodeFileSystem(), directory)
}

describe('a segment reader', () => {
  it('fills its region with whole batches only, and says what it needs for one that is larger', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (const bytes of [10, 10, 5000, 10, 900]) append(log, 'x'.repeat(bytes))
    const reader = readerOf(directory)
    const steps: (string | number)[] = []
    let region = Region.allocate(400)
    for (let from: ReadPosition = reader.locate(0); ; ) {
      const fill = reader.fill(from, region, 5, true)
      if (fill.bytesNeeded !== undefined) {
        expect(fill).toMatchObject({ bytes: 0, next: from })
        steps.push(`needs ${fill.bytesNeeded}`)
        region = Region.allocate(fill.bytesNeeded)
        continue
      }
      if (fill.bytes === 0) break
      for (let at = 0; at < fill.bytes; at += batchLength(region, at)) steps.push(batchBaseOffset(region, at))
      from = fill.next
    }
    expect(steps).toEqual([0, 1, `needs ${96 + 16 + 5000}`, 2, 3, 4])
    reader.close()
    log.close()
  })

  it('reads the same with a region of any size', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentBytes: 1000 })
    for (let value = 0; value < 30; value++) append(log, `v${value}`, 'x'.repeat((value * 37) % 200))
    const expected = readRecords(directory, 0, 60, { regionBytes: 1 << 20 })
    expect(expected.length).toBe(60)
    for (let regionBytes = 96; regionBytes < 1200; regionBytes += 8) {
      expect(readRecords(directory, 0, 60, { regionBytes })).toEqual(expected)
    }
    log.close()
  })

  it('finds the batch of any offset by the index of its segment, near it', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentBytes: 600_000 })
    for (let value = 0; value < 1000; value++) append(log, 'x'.repeat(2000))
    const reader = readerOf(directory)
    for (let offset = 0; offset < 1000; offset += 7) {
      const found = reader.locate(offset)
      expect(found.offset).toBeLessThanOrEqual(offset)
      const isSealed = fs.existsSync(path.join(directory, indexFileName(found.baseOffset)))
      if (isSealed) expect(offset - found.offset).toBeLessThanOrEqual(32)
    }
    reader.close()
    log.close()
  })

  it('refuses an offset that is no more there, and says which is the first', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 2 })
    for (const value of ['a', 'b', 'c']) append(log, value)
    log.close()
    fs.rmSync(path.join(directory, segmentFileName(0)))
    fs.rmSync(path.join(directory, indexFileName(0)))
    const reader = readerOf(directory)
    expect(refusal('OFFSET_OUT_OF_RANGE', () => reader.locate(1)).first).toBe(2)
    expect(refusal('OFFSET_OUT_OF_RANGE', () => reader.locate(-1)).first).toBe(2)
    refusal('OFFSET_OUT_OF_RANGE', () => reader.locate(Number.NaN))
    expect(reader.locate(2)).toMatchObject({ baseOffset: 2, offset: 2 })
  })

  it('finds for a time a place before which all is earlier, in sealed segments and the open one', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 4 })
    const times = Array.from({ length: 18 }, (_, index) => START_MS + index * 10 + (index % 3) * 25)
    for (const time of times) log.appendBatch(textBatch(['x'], time).region, 0)
    const reader = readerOf(directory)
    for (let time = START_MS - 5; time < START_MS + 300; time += 5) {
      const { offset } = reader.locateTimestamp(time)
      expect(Math.max(...times.slice(0, offset), 0)).toBeLessThan(time)
    }
    expect(reader.locateTimestamp(START_MS + 1000).baseOffset).toBe(16)
    expect(readerOf(temporaryDirectory()).locateTimestamp(5)).toEqual({ baseOffset: 0, position: 64, offset: 0 })
    log.close()
  })

  it('says that a file ends before the watermark, and where', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (const value of ['a', 'b', 'c']) append(log, value)
    log.close()
    for (const length of [64 + 240, 64 + 240 + 50, 64 + 240 + 100]) {
      fs.truncateSync(path.join(directory, segmentFileName(0)), length)
      const error = refusal('SEGMENT_CORRUPT', () => readRecords(directory, 0, 3))
      expect(error, `${length} bytes`).toMatchObject({ position: 64 + 240, offset: 2 })
    }
  })

  it('follows the writer from watermark to watermark, across a roll', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 3 })
    append(log, 'v0')
    const reader = readerOf(directory)
    const region = Region.allocate(4096)
    let from = reader.locate(0)
    const seen: number[] = []
    for (let watermark = 1; watermark <= 10; watermark++) {
      for (;;) {
        const { bytes, next } = reader.fill(from, region, watermark, true)
        if (bytes === 0) break
        for (let at = 0; at < bytes; at += batchLength(region, at)) seen.push(batchBaseOffset(region, at))
        from = next
      }
      expect(seen.length).toBe(watermark)
      append(log, `v${watermark}`)
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    reader.close()
    log.close()
  })
})
