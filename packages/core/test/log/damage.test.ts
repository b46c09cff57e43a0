import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEGMENT_HEADER_BYTES } from '#core/format/layout.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { DamagedFile } from '../support/damage.js'
import {
  append,
  appendSynced,
  openPartition,
  readRecords,
  readValues,
  refusal,
  reopenedValues,
  segmentsAndIndexes,
} from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

const BATCHES = [['a'], ['bb', 'ccc'], ['dddd'], ['eeeee', 'ffffff'], ['ggggggg']]

interface Placed {
  position: number
  end: number
  offset: number
}

/** A closed segment of `BATCHES`; `isAcknowledged` says after which batch the writer learns of its acknowledgement. */
function segmentOfBatches(isAcknowledged: (batch: number) => boolean): {
  directory: string
  file: DamagedFile
  batches: Placed[]
} {
  const directory = temporaryDirectory()
  const log = openPartition(directory)
  const batches = BATCHES.map((values, batch) => {
    const position = Math.max(log.positionWritten, SEGMENT_HEADER_BYTES)
    const offset = isAcknowledged(batch) ? appendSynced(log, ...values) : append(log, ...values)
    return { position, offset, end: log.positionWritten }
  })
  log.close()
  return { directory, batches, file: new DamagedFile(path.join(directory, segmentFileName(0))) }
}

/** Names and bytes of all that is in the directory. */
function contents(directory: string): Record<string, string> {
  return Object.fromEntries(
    fs.readdirSync(directory).map((name) => [name, fs.readFileSync(path.join(directory, name), 'base64')]),
  )
}

describe('one damaged byte, anywhere', () => {
  it('in front of batches that knew it as acknowledged is refused by file, byte and offset, and nothing is changed', () => {
    const { directory, file, batches } = segmentOfBatches(() => true)
    const last = batches[batches.length - 1]
    for (let at = SEGMENT_HEADER_BYTES; at < last.position; at++) {
      const { position, offset } = batches.find(({ end }) => at < end)!
      file.flipByte(at, at % 3 === 0 ? 0xff : 1 << (at & 7))
      const before = contents(directory)
      const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
      expect(error, `byte ${at}`).toMatchObject({ file: file.path, position, offset })
      expect(contents(directory), `byte ${at}`).toEqual(before)
    }
  })

  it('in the last batch is cut with it, for nothing tells it from a torn write', () => {
    const { directory, file, batches } = segmentOfBatches(() => true)
    const last = batches[batches.length - 1]
    for (let at = last.position; at < last.end; at++) {
      file.flipByte(at)
      expect(reopenedValues(directory), `byte ${at}`).toEqual(BATCHES.slice(0, -1).flat())
      expect(file.bytes.length).toBe(last.position)
    }
  })

  it('in the header of a segment with batches is refused, and nothing is changed', () => {
    const { directory, file } = segmentOfBatches(() => false)
    for (let at = 0; at < SEGMENT_HEADER_BYTES; at++) {
      file.flipByte(at)
      const before = contents(directory)
      expect(
        refusal('SEGMENT_CORRUPT', () => openPartition(directory)),
        `byte ${at}`,
      ).toMatchObject({ position: 0 })
      expect(contents(directory)).toEqual(before)
    }
  })

  it("is where the log ends from then on with recovery: 'tail'", () => {
    const { directory, file, batches } = segmentOfBatches(() => true)
    for (let at = SEGMENT_HEADER_BYTES; at < file.length; at++) {
      const batch = batches.findIndex(({ end }) => at < end)
      file.flipByte(at)
      const whole = BATCHES.slice(0, batch).flat()
      expect(reopenedValues(directory, { recovery: 'tail' }), `byte ${at}`).toEqual(whole)
      expect(reopenedValues(directory), `byte ${at}, then strictly`).toEqual(whole)
    }
  })

  it('is shown to a reader who checks, and by no means returned', () => {
    const { directory, file, batches } = segmentOfBatches(() => true)
    for (let at = 0; at < file.length; at++) {
      file.flipByte(at)
      const batch = batches.find(({ end }) => at < end)!
      const expected = at < SEGMENT_HEADER_BYTES ? { position: 0, offset: 0 } : batch
      const { position, offset } = expected
      const error = refusal('SEGMENT_CORRUPT', () => readRecords(directory, 0, 7))
      expect(error, `byte ${at}`).toMatchObject({ file: file.path, position, offset })
    }
  })
})

describe('whole batches behind damage', () => {
  it('that were never acknowledged are a reordered write: the tail is cut from the damage on', () => {
    const { directory, file, batches } = segmentOfBatches(() => false)
    for (const [batch, { position, end }] of batches.entries()) {
      for (const damage of [() => file.flipByte(position + 100), () => file.zeroFrom(position, end)]) {
        damage()
        expect(reopenedValues(directory)).toEqual(BATCHES.slice(0, batch).flat())
        expect(file.bytes.length).toBe(position)
      }
    }
  })

  it('prove as much as they knew: damage before that point is corruption, damage behind it a torn tail', () => {
    // Acknowledged up to the end of the third batch, of which the fourth and the fifth know.
    const { directory, file, batches } = segmentOfBatches((batch) => batch === 2)
    for (const [batch, { position, offset }] of batches.entries()) {
      file.flipByte(position + 100)
      if (batch <= 2) {
        expect(refusal('SEGMENT_CORRUPT', () => openPartition(directory))).toMatchObject({ position, offset })
      } else {
        expect(reopenedValues(directory)).toEqual(BATCHES.slice(0, batch).flat())
      }
    }
  })

  it('prove it too where a batch was taken out without a trace, or stands there twice', () => {
    const { directory, file, batches } = segmentOfBatches(() => true)
    for (const [batch, { position, end, offset }] of batches.entries()) {
      if (batch === batches.length - 1) break
      file.spliceOut(position, end)
      const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
      expect(error, `without batch ${batch}`).toMatchObject({ position, offset })
      expect(error.message).toMatch(/wrong-offset/)
    }
    const [first, second] = batches
    const { original } = file
    file.append(original.subarray(first.position, first.end))
    expect(reopenedValues(directory), 'repeated at the end').toEqual(BATCHES.flat())
    fs.writeFileSync(
      file.path,
      Buffer.concat([
        original.subarray(0, second.position),
        original.subarray(first.position, first.end),
        original.subarray(second.position),
      ]),
    )
    expect(refusal('SEGMENT_CORRUPT', () => openPartition(directory))).toMatchObject({ position: second.position })
  })
})

describe('damage in a segment that is neither sealed nor the last', () => {
  /** Three segments of two batches each, none sealed. */
  function threeSegments(isAcknowledged: boolean): { directory: string; files: DamagedFile[] } {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 2, onRolled: () => {} })
    for (const value of ['a', 'b', 'c', 'd', 'e', 'f']) {
      if (isAcknowledged) appendSynced(log, value)
      else append(log, value)
    }
    log.close()
    return { directory, files: [0, 2, 4].map((base) => new DamagedFile(path.join(directory, segmentFileName(base)))) }
  }

  const second = 64 + 120

  it('is corruption where a later segment knew it as acknowledged', () => {
    const { directory, files } = threeSegments(true)
    for (const [place, file] of files.slice(0, 2).entries()) {
      file.flipByte(second + 100)
      const error = refusal('SEGMENT_CORRUPT', () => openPartition(directory))
      expect(error).toMatchObject({ file: file.path, position: second, offset: place * 2 + 1 })
      file.restore()
    }
  })

  it('is a torn tail where none did, and takes the later segments with it', () => {
    for (const place of [0, 1]) {
      const { directory, files } = threeSegments(false)
      files[place].flipByte(second + 100)
      const whole = ['a', 'b', 'c', 'd'].slice(0, place * 2 + 1)
      const log = openPartition(directory)
      expect(readValues(directory, log)).toEqual(whole)
      expect(log.bases).toEqual([0, 2].slice(0, place + 1))
      appendSynced(log, 'after')
      log.close()
      expect(reopenedValues(directory)).toEqual([...whole, 'after'])
    }
  })

  it('is corruption or a torn tail in the same way where its end is just not there', () => {
    for (const isAcknowledged of [true, false]) {
      for (const damage of ['cut', 'zeros']) {
        const { directory, files } = threeSegments(isAcknowledged)
        if (damage === 'cut') files[1].cutAt(second)
        else files[1].zeroFrom(second)
        if (isAcknowledged) {
          const before = fs.readdirSync(directory).filter((name) => name !== indexFileName(0))
          expect(refusal('SEGMENT_CORRUPT', () => openPartition(directory))).toMatchObject({ offset: 3 })
          expect(fs.readdirSync(directory).filter((name) => name !== indexFileName(0))).toEqual(before)
          expect(reopenedValues(directory, { recovery: 'tail' })).toEqual(['a', 'b', 'c'])
        } else {
          expect(reopenedValues(directory)).toEqual(['a', 'b', 'c'])
        }
      }
    }
  })

  it('is corruption or a torn tail in the same way where its header is not there', () => {
    for (const isAcknowledged of [true, false]) {
      const { directory, files } = threeSegments(isAcknowledged)
      files[1].zeroFrom(0)
      if (isAcknowledged) refusal('SEGMENT_CORRUPT', () => openPartition(directory))
      else expect(reopenedValues(directory)).toEqual(['a', 'b'])
    }
  })

  it("cuts in mode 'tail' and takes every later segment with it", () => {
    const { directory, files } = threeSegments(true)
    files[0].zeroFrom(0)
    const log = openPartition(directory, { recovery: 'tail' })
    expect([log.bases, log.offsetNext]).toEqual([[], 0])
    appendSynced(log, 'after')
    log.close()
    expect(segmentsAndIndexes(directory)).toEqual([segmentFileName(0)])
    expect(reopenedValues(directory)).toEqual(['after'])
  })
})
