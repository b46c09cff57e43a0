import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decodeIndex, encodeIndex, type SegmentIndex } from '#core/format/index-file.js'
import { Region } from '#core/format/region.js'
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader } from '#core/format/segment-header.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { DamagedFile } from '../support/damage.js'
import {
  append,
  appendSynced,
  openPartition,
  readRecords,
  refusal,
  reopenedValues,
  segmentsAndIndexes,
} from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

const VALUES = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

/** Segments 0, 2 and 4 of two records, sealed, and 6 of one, open. */
function partitionOfFour(): { directory: string; log: (base: number) => string; index: (base: number) => string } {
  const directory = temporaryDirectory()
  const log = openPartition(directory, { segmentEntries: 2 })
  for (const value of VALUES) appendSynced(log, value)
  log.close()
  return {
    directory,
    log: (base) => path.join(directory, segmentFileName(base)),
    index: (base) => path.join(directory, indexFileName(base)),
  }
}

function rewriteIndex(file: string, change: Partial<SegmentIndex>): void {
  fs.writeFileSync(file, encodeIndex({ ...decodeIndex(fs.readFileSync(file), file), ...change }))
}

function rewriteHeader(file: string, change: Partial<SegmentHeader>): void {
  const bytes = fs.readFileSync(file)
  const region = Region.allocate(64)
  region.u8.set(bytes.subarray(0, 64))
  encodeSegmentHeader(region, 0, { ...decodeSegmentHeader(region, 0, 64, file)!, ...change })
  bytes.set(region.u8)
  fs.writeFileSync(file, bytes)
}

describe('an index', () => {
  it('that is damaged is refused, and made anew where it is removed, of the last sealed segment or an earlier one', () => {
    for (const base of [0, 2, 4]) {
      const { directory, index } = partitionOfFour()
      const before = fs.readFileSync(index(base))
      new DamagedFile(index(base)).flipByte(60)
      if (base === 4) {
        const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
        expect(error).toMatchObject({ file: index(base) })
        expect(error.message).toMatch(/remove it, and the next open builds it anew/)
      }
      fs.rmSync(index(base))
      expect(reopenedValues(directory)).toEqual(VALUES)
      expect(fs.readFileSync(index(base))).toEqual(before)
    }
  })

  it("that is damaged is made anew in mode 'tail', for the segment itself is whole", () => {
    const { directory, index } = partitionOfFour()
    const before = fs.readFileSync(index(4))
    new DamagedFile(index(4)).cutAt(50)
    expect(reopenedValues(directory, { recovery: 'tail' })).toEqual(VALUES)
    expect(fs.readFileSync(index(4))).toEqual(before)
  })

  it('of another segment, or of the same one in another life, is refused', () => {
    const { directory, index } = partitionOfFour()
    const own = fs.readFileSync(index(4))
    fs.copyFileSync(index(2), index(4))
    expect(() => openPartition(directory)).toThrow(/is not the segment of its index/)
    fs.writeFileSync(index(4), own)
    rewriteIndex(index(4), { segmentId: 12345 })
    expect(() => openPartition(directory)).toThrow(/is not the segment of its index/)
  })

  it('that says more bytes than its segment has, or fewer, is refused', () => {
    for (const dataBytes of [64 + 240 + 8, 64 + 120]) {
      const { directory, index, log } = partitionOfFour()
      rewriteIndex(index(4), { dataBytes, entries: new Float64Array() })
      const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
      expect(error).toMatchObject({ file: log(4), position: Math.min(dataBytes, 64 + 240) })
    }
  })

  it('that says more or fewer records than lead to the next segment is refused', () => {
    for (const recordCount of [1, 3, 500]) {
      const { directory, index, log } = partitionOfFour()
      rewriteIndex(index(4), { recordCount, entries: new Float64Array() })
      const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
      expect(error, `${recordCount} records`).toMatchObject({ file: log(6) })
      expect(segmentsAndIndexes(directory)).toHaveLength(7)
    }
  })

  it('of unbelievable size is refused without being read into memory', () => {
    const { directory, index } = partitionOfFour()
    fs.truncateSync(index(4), 2 ** 40)
    expect(() => openPartition(directory)).toThrow(/SEGMENT_CORRUPT.*is not a whole index file/)
  })

  it('without its segment is refused; below the first segment it is what a trim left, and goes', () => {
    const { directory, log, index } = partitionOfFour()
    fs.rmSync(log(0))
    expect(openPartition(directory).offsetFirst).toBe(2)
    expect(fs.existsSync(index(0))).toBe(false)
    const last = fs.readFileSync(index(4))
    fs.writeFileSync(path.join(directory, indexFileName(9)), last)
    const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
    expect(error).toMatchObject({ file: log(9), offset: 9 })
    const tail = openPartition(directory, { recovery: 'tail' })
    expect(tail.offsetNext).toBe(7)
    expect(fs.existsSync(index(9))).toBe(false)
    tail.close()
  })

  it('whose segment kept its reserve of zeros, since the power went, is believed, and the zeros go', () => {
    const { directory, log } = partitionOfFour()
    const { size } = fs.statSync(log(4))
    new DamagedFile(log(4)).append(Buffer.alloc(5000))
    expect(reopenedValues(directory)).toEqual(VALUES)
    expect(fs.statSync(log(4)).size).toBe(size)
    new DamagedFile(log(4)).append(Buffer.alloc(5000, 1))
    expect(() => openPartition(directory)).toThrow(/goes on behind byte 304/)
  })
})

describe('a segment', () => {
  it('of another partition is refused in every mode, and left as it is', () => {
    for (const recovery of ['strict', 'tail', 'skip'] as const) {
      const { directory, log } = partitionOfFour()
      rewriteHeader(log(6), { partition: 3 })
      const before = fs.readFileSync(log(6))
      expect(() => openPartition(directory, { recovery })).toThrow(/is of partition 3/)
      expect(fs.readFileSync(log(6))).toEqual(before)
    }
  })

  it('that lies there a second time under another name is refused in every mode', () => {
    for (const base of [7, 3, 100]) {
      for (const recovery of ['strict', 'tail'] as const) {
        const { directory, log } = partitionOfFour()
        fs.copyFileSync(log(6), log(base))
        expect(() => openPartition(directory, { recovery }), `${base} ${recovery}`).toThrow(/SEGMENT_CORRUPT/)
      }
    }
  })

  it('that is missing between sealed ones is refused by whoever reads it, with the first missing offset', () => {
    const { directory, log, index } = partitionOfFour()
    fs.rmSync(log(2))
    fs.rmSync(index(2))
    const opened = openPartition(directory)
    expect(opened.offsetNext).toBe(7)
    expect(refusal('SEGMENT_CORRUPT', () => readRecords(directory, 0, 7))).toMatchObject({ file: log(0), offset: 2 })
    expect(refusal('SEGMENT_CORRUPT', () => readRecords(directory, 3, 7))).toMatchObject({ offset: 2 })
    expect(readRecords(directory, 4, 7).length).toBe(3)
    opened.close()
  })

  it('without its index and without its end is not hidden by the sealed ones behind it', () => {
    const { directory, log, index } = partitionOfFour()
    fs.rmSync(index(2))
    fs.truncateSync(log(2), 64 + 120)
    expect(refusal('SEGMENT_CORRUPT', () => openPartition(directory))).toMatchObject({ file: log(4), offset: 3 })
    expect(reopenedValues(directory, { recovery: 'tail' })).toEqual(['a', 'b', 'c'])
    expect(segmentsAndIndexes(directory)).toEqual([indexFileName(0), segmentFileName(0), segmentFileName(2)])
  })

  it('that another one was renamed to is refused by a reader', () => {
    const { directory, log } = partitionOfFour()
    fs.copyFileSync(log(2), log(4))
    expect(() => readRecords(directory, 4, 7)).toThrow(/SEGMENT_CORRUPT.*no header of that segment/)
    const stale = fs.readFileSync(log(2))
    const own = fs.readFileSync(log(0))
    // The header of one life, the batches of another.
    fs.writeFileSync(log(2), Buffer.concat([own.subarray(0, 64), stale.subarray(64)]))
    rewriteHeader(log(2), { baseOffset: 2 })
    expect(() => readRecords(directory, 2, 7)).toThrow(/SEGMENT_CORRUPT.*a batch that does not belong there/)
  })

  it('of another format version is refused in every mode, and left as it is', () => {
    for (const recovery of ['strict', 'tail', 'skip'] as const) {
      const { directory, log } = partitionOfFour()
      const bytes = fs.readFileSync(log(6))
      bytes.writeUInt32LE(2, 4)
      bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60)
      fs.writeFileSync(log(6), bytes)
      expect(() => openPartition(directory, { recovery })).toThrow(/FORMAT_VERSION.*has segment format 2/)
      expect(fs.readFileSync(log(6))).toEqual(bytes)
    }
  })
})

describe('a partition directory', () => {
  it('may hold files of others, which are neither read nor touched', () => {
    const { directory } = partitionOfFour()
    const foreign = [
      'notes.tmp',
      'x.log',
      '1.log',
      `${'9'.repeat(20)}.log`,
      '00000000000000000000.log.bak',
      '.DS_Store',
    ]
    for (const name of foreign) fs.writeFileSync(path.join(directory, name), name)
    fs.mkdirSync(path.join(directory, 'folder.tmp'))
    expect(reopenedValues(directory)).toEqual(VALUES)
    for (const name of foreign) expect(fs.readFileSync(path.join(directory, name), 'utf8')).toBe(name)
  })

  it('loses the index that was being written when the process ended', () => {
    const { directory, index } = partitionOfFour()
    fs.writeFileSync(`${index(6)}.tmp`, 'half')
    expect(reopenedValues(directory)).toEqual(VALUES)
    expect(fs.existsSync(`${index(6)}.tmp`)).toBe(false)
  })
})

describe('a value', () => {
  it('that holds a whole copy of the segment is a value, before damage and behind it', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, 'a')
    append(log, 'b')
    const file = path.join(directory, segmentFileName(0))
    const copy = fs.readFileSync(file).subarray(0, log.positionWritten).toString('latin1')
    append(log, copy)
    log.close()
    expect(reopenedValues(directory)).toEqual(['a', 'b', copy])
    new DamagedFile(file).flipByte(64 + 120 + 100)
    expect(reopenedValues(directory)).toEqual(['a'])
  })
})
