import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEGMENT_HEADER_BYTES } from '#core/format/layout.js'
import { segmentFileName } from '#core/segment/segment-name.js'
import { DamagedFile } from '../support/damage.js'
import { append, appendSynced, openPartition, readValues, reopenedValues } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

/** Batches of one to three records, with every length of padding. */
const BATCHES = [['a'], ['bb', 'ccc'], ['dddd'], ['eeeee', 'ffffff', 'ggggggg'], ['hhhhhhhh'], ['']]

/** A closed segment of `BATCHES`, and the byte where each batch ends. Nothing says what was acknowledged. */
function segmentOfBatches(acknowledged: boolean): { directory: string; file: DamagedFile; ends: number[] } {
  const directory = temporaryDirectory()
  const log = openPartition(directory)
  const ends: number[] = []
  for (const values of BATCHES) {
    if (acknowledged) appendSynced(log, ...values)
    else append(log, ...values)
    ends.push(log.positionWritten)
  }
  log.close()
  return { directory, file: new DamagedFile(path.join(directory, segmentFileName(0))), ends }
}

/** Reopens after the whole batches before `at` should be all that is left, appends, and reopens twice more. */
function expectWholeBatchesBefore(directory: string, ends: number[], at: number, what: string): void {
  const whole = BATCHES.slice(0, ends.filter((end) => end <= at).length).flat()
  const log = openPartition(directory)
  expect(readValues(directory, log), what).toEqual(whole)
  expect(log.offsetNext).toBe(whole.length)
  appendSynced(log, 'after')
  log.close()
  expect(reopenedValues(directory), `${what}, reopened`).toEqual([...whole, 'after'])
  expect(reopenedValues(directory), `${what}, reopened twice`).toEqual([...whole, 'after'])
}

describe('a torn tail', () => {
  // Later batches prove nothing of a batch that is gone with them, acknowledged or not.
  it.each([true, false])('cut at any byte leaves exactly the whole batches before it (stamps say so: %s)', (stamps) => {
    const { directory, file, ends } = segmentOfBatches(stamps)
    for (let at = 0; at <= file.length; at++) {
      file.cutAt(at)
      expectWholeBatchesBefore(directory, ends, at, `cut at ${at}`)
    }
  })

  it('of zeros from any byte on, as a file has that was given its size ahead, leaves the whole batches before it', () => {
    const { directory, file, ends } = segmentOfBatches(true)
    for (let at = 0; at <= file.length; at++) {
      file.zeroFrom(at)
      // A batch whose last bytes are its padding does not miss them.
      const whole = ends.findIndex((end) => end > at)
      const isWhole = whole >= 0 && file.original.subarray(at, ends[whole]).every((byte) => byte === 0)
      expectWholeBatchesBefore(directory, ends, isWhole ? ends[whole] : at, `zeros from ${at}`)
    }
  })

  it('of garbage from any byte on leaves the whole batches before it', () => {
    const { directory, file, ends } = segmentOfBatches(true)
    for (let at = SEGMENT_HEADER_BYTES; at < file.length; at++) {
      file.garbageFrom(at)
      expectWholeBatchesBefore(directory, ends, at, `garbage from ${at}`)
    }
  })

  it('of garbage behind the last batch, or behind zeros, goes, and nothing before it', () => {
    const { directory, file, ends } = segmentOfBatches(true)
    for (const tail of [Buffer.alloc(1, 1), Buffer.alloc(95, 7), Buffer.alloc(5000, 9)]) {
      for (const zeros of [0, 3, 8, 96, 4096]) {
        file.append(Buffer.concat([Buffer.alloc(zeros), tail]))
        expectWholeBatchesBefore(directory, ends, file.length, `${zeros} zeros, ${tail.length} bytes of garbage`)
      }
    }
  })

  it('says how many bytes it cost', () => {
    const { directory, file, ends } = segmentOfBatches(true)
    file.cutAt(ends[4] + 50)
    const log = openPartition(directory)
    expect(log.cutBytes).toBe(50)
    log.close()
  })
})

describe('a torn creation', () => {
  const FIRST = 3

  /** A sealed segment of three records, and a second one whose creation the test tears. */
  function twoSegments(): { directory: string; second: string } {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: FIRST })
    for (const value of ['a', 'b', 'c']) appendSynced(log, value)
    log.roll()
    log.abandon()
    return { directory, second: path.join(directory, segmentFileName(FIRST)) }
  }

  it('is undone at any length of the file, with bytes or with zeros', () => {
    for (const zeros of [false, true]) {
      for (let at = 0; at < SEGMENT_HEADER_BYTES; at++) {
        const { directory, second } = twoSegments()
        const file = new DamagedFile(second)
        if (zeros) file.zeroFrom(at)
        else file.cutAt(at)
        const log = openPartition(directory)
        expect(log.bases).toEqual([0])
        expect(fs.existsSync(second)).toBe(false)
        appendSynced(log, 'd')
        log.close()
        expect(reopenedValues(directory)).toEqual(['a', 'b', 'c', 'd'])
      }
    }
  })

  it('of the very first segment leaves an empty log', () => {
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, segmentFileName(0)), '')
    const log = openPartition(directory)
    expect(log.offsetNext).toBe(0)
    appendSynced(log, 'a')
    log.close()
    expect(reopenedValues(directory)).toEqual(['a'])
  })

  it('is none where a batch follows the header, even one whose first bytes are zeros', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, 'a')
    log.close()
    const file = new DamagedFile(path.join(directory, segmentFileName(0)))
    for (let at = 0; at < SEGMENT_HEADER_BYTES; at++) {
      file.flipByte(at)
      expect(() => openPartition(directory), `byte ${at}`).toThrow(/SEGMENT_CORRUPT|FORMAT_VERSION/)
      expect(file.bytes.length).toBe(file.length)
    }
  })

  it('is none where a batch further on knew a record of the segment as acknowledged', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (let batch = 0; batch < 10; batch++) appendSynced(log, 'x'.repeat(100))
    log.close()
    const file = new DamagedFile(path.join(directory, segmentFileName(0)))
    file.zeroFrom(0, 1024)
    expect(() => openPartition(directory)).toThrow(/SEGMENT_CORRUPT.*no sound segment header/)
    expect(file.bytes.length).toBe(file.length)
    const tail = openPartition(directory, { recovery: 'tail' })
    expect(tail.offsetNext).toBe(0)
    tail.close()
  })

  it('is one where whole batches further on were never acknowledged: the disk wrote them first', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (let batch = 0; batch < 10; batch++) append(log, 'x'.repeat(100))
    log.close()
    new DamagedFile(path.join(directory, segmentFileName(0))).zeroFrom(0, 1024)
    expect(reopenedValues(directory)).toEqual([])
  })
})
