import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { gapsFileName, indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { DamagedFile } from '../support/damage.js'
import { append, appendSynced, openPartition, refusal } from '../support/partition.js'
import { readOver } from '../support/read-over.js'
import { freshPlace, temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem } from '../support/traced-file-system.js'

const VALUES = ['a', 'bb', 'ccc', 'dddd', 'eeeee', 'ffffff', 'ggggggg']
const RECORDS = new Map(VALUES.entries())

/** Two segments of three records and one of the last; sealed or not, as `onRolled` says. */
function partition(directory: string, isSealed: boolean): void {
  const onRolled = isSealed ? undefined : () => {}
  const log = openPartition(directory, { segmentEntries: 3, segmentBytes: 4096, onRolled })
  for (const value of VALUES) appendSynced(log, value)
  log.close()
}

const logFile = (directory: string, base: number): DamagedFile =>
  new DamagedFile(path.join(directory, segmentFileName(base)))

function open(directory: string, recovery: 'strict' | 'skip' = 'skip') {
  const log = openPartition(directory, { recovery, segmentEntries: 3 })
  const found = readOver(directory, log, { skip: recovery === 'skip' })
  const { offsetNext } = log
  log.close()
  return { ...found, offsetNext }
}

describe("recovery: 'skip'", () => {
  it.each([false, true])('keeps every whole batch, whichever byte of the data is damaged (sealed: %s)', (isSealed) => {
    const root = temporaryDirectory()
    const original = freshPlace(root)
    partition(original, isSealed)
    for (const base of [0, 3, 6]) {
      // A little of the reserve behind the data is looked at as well.
      const ends = recordEnds(original, base)
      const length = Math.min(logFile(original, base).length, ends.at(-1)! + 40)
      for (let at = 0; at < length; at += at < 200 ? 3 : 7) {
        const what = `byte ${at} of segment ${base}`
        const directory = freshPlace(root)
        fs.cpSync(original, directory, { recursive: true })
        logFile(directory, base).flipByte(at, 1 << (at & 7))
        const first = open(directory)
        // The batch hit is missing, or nothing is, where only the header was hit.
        const hit = at < 64 || at >= ends.at(-1)! ? undefined : base + ends.findIndex((end) => at < end)
        const isTail = hit === VALUES.length - 1
        const kept = new Map([...RECORDS].filter(([offset]) => offset !== hit))
        expect(first.values, what).toEqual(kept)
        expect(first.gaps, what).toEqual(hit === undefined || isTail ? [] : [`data-loss ${hit}-${hit + 1}`])
        expect(open(directory), `${what}, again`).toEqual(first)
        // What was given up is no longer damage, unless nobody has looked at that sealed segment.
        if (!isSealed || base === 6 || (base === 3 && at < 64)) expect(open(directory, 'strict'), what).toEqual(first)
        fs.rmSync(directory, { recursive: true })
      }
    }
  })

  it('shows one gap for what lies between two whole batches, and goes on appending behind everything', () => {
    const directory = temporaryDirectory()
    partition(directory, false)
    const file = logFile(directory, 0)
    const [first, second] = recordEnds(directory, 0)
    file.zeroFrom(first, second)
    logFile(directory, 3).zeroFrom(64)
    const log = openPartition(directory, { recovery: 'skip', segmentEntries: 3 })
    expect(readOver(directory, log).gaps).toEqual(['data-loss 1-2', 'data-loss 3-6'])
    expect(appendSynced(log, 'after')).toBe(7)
    log.close()
    // The damaged bytes are still what they were.
    expect(file.bytes.subarray(64, file.length)).toEqual(file.bytes.subarray(64))
    const strict = open(directory, 'strict')
    expect(strict.gaps).toEqual(['data-loss 1-2', 'data-loss 3-6'])
    expect([...strict.values.values()]).toEqual(['a', 'ccc', 'ggggggg', 'after'])
  })

  it('refuses strictly what was damaged after a gap was accepted', () => {
    const directory = temporaryDirectory()
    partition(directory, false)
    const [first] = recordEnds(directory, 0)
    logFile(directory, 0).flipByte(first + 100)
    expect(open(directory).gaps).toEqual(['data-loss 1-2'])
    expect(open(directory, 'strict').gaps).toEqual(['data-loss 1-2'])
    logFile(directory, 0).flipByte(100)
    expect(refusal('SEGMENT_CORRUPT', () => open(directory, 'strict'))).toMatchObject({ position: 64, offset: 0 })
    expect(open(directory).gaps).toEqual(['data-loss 0-2'])
  })

  it('finds out anew where the file with the gaps is damaged; strictly, that is refused', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (const value of VALUES) appendSynced(log, value)
    log.close()
    logFile(directory, 0).flipByte(64 + 130)
    const first = open(directory)
    expect(first.gaps).toEqual(['data-loss 1-2'])
    const gaps = new DamagedFile(path.join(directory, gapsFileName(0)))
    for (let at = 0; at < gaps.length; at++) {
      gaps.flipByte(at, 1 << (at & 7))
      refusal('SEGMENT_CORRUPT', () => open(directory, 'strict'))
      expect(open(directory)).toEqual(first)
      expect(gaps.bytes).toEqual(gaps.original)
    }
  })

  it('shows what is missing at the end of a sealed segment that was cut, and lets no offset come twice', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 3 })
    for (const value of VALUES.slice(0, 3)) appendSynced(log, value)
    log.roll()
    log.close()
    fs.rmSync(path.join(directory, segmentFileName(3)))
    logFile(directory, 0).cutAt(recordEnds(directory, 0)[0] + 50)
    const found = open(directory)
    expect([found.gaps, found.offsetNext]).toEqual([['data-loss 1-3'], 3])
    expect(open(directory, 'strict')).toEqual(found)
  })

  it('shows missing segments as gaps: between others, and the last one by the index that was left', () => {
    for (const [missing, gap] of [
      [3, 'data-loss 3-6'],
      [0, undefined],
    ] as const) {
      const directory = temporaryDirectory()
      partition(directory, true)
      fs.rmSync(path.join(directory, segmentFileName(missing)))
      const found = open(directory)
      expect(found.gaps).toEqual(gap === undefined ? [] : [gap])
      expect(open(directory, 'strict')).toEqual(found)
    }
    const directory = temporaryDirectory()
    partition(directory, true)
    for (const base of [3, 6]) fs.rmSync(path.join(directory, segmentFileName(base)))
    const found = open(directory)
    expect([found.gaps, found.offsetNext]).toEqual([['data-loss 3-6'], 6])
    expect(open(directory, 'strict')).toEqual(found)
  })

  it('leaves a gap as long as the bytes could have held where nothing whole is left of a segment', () => {
    const directory = temporaryDirectory()
    partition(directory, true)
    logFile(directory, 6).garbageFrom(0)
    const found = open(directory)
    expect([...found.values.keys()]).toEqual([0, 1, 2, 3, 4, 5])
    expect(found.gaps).toHaveLength(1)
    expect(found.offsetNext).toBeGreaterThan(6)
    expect(open(directory, 'strict')).toEqual(found)
  })

  it('cuts a torn tail as ever, without a gap', () => {
    const directory = temporaryDirectory()
    partition(directory, true)
    logFile(directory, 6).cutAt(100)
    const found = open(directory)
    expect([found.gaps, found.offsetNext, fs.existsSync(path.join(directory, gapsFileName(6)))]).toEqual([[], 6, false])
  })

  it('keeps later segments that nobody knew as acknowledged', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 2, onRolled: () => {} })
    for (const value of VALUES) append(log, value)
    log.close()
    logFile(directory, 0).zeroFrom(64 + 120)
    expect(open(directory).gaps).toEqual(['data-loss 1-2'])
  })

  it('that is interrupted at any call is done again with the same result', () => {
    const root = temporaryDirectory()
    const original = freshPlace(root)
    partition(original, false)
    logFile(original, 0).flipByte(64 + 130)
    logFile(original, 3).flipByte(20)
    const whole = freshPlace(root)
    fs.cpSync(original, whole, { recursive: true })
    const expected = open(whole)
    expect(expected.gaps).toEqual(['data-loss 1-2'])
    for (let fatal = 1; ; fatal++) {
      const directory = freshPlace(root)
      fs.cpSync(original, directory, { recursive: true })
      const { fs: dying, hasDied } = dyingFileSystem(fatal)
      try {
        openPartition(directory, { fs: dying, recovery: 'skip' }).abandon()
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      expect(open(directory), `died before call ${fatal}`).toEqual(expected)
      if (!hasDied()) break
    }
  })
})

describe('a reader that skips', () => {
  it('shows damage of sealed segments that no recovery looks at; without skip it is refused', () => {
    const directory = temporaryDirectory()
    partition(directory, true)
    logFile(directory, 0).flipByte(64 + 130)
    new DamagedFile(path.join(directory, indexFileName(0))).flipByte(50)
    const log = openPartition(directory, { segmentEntries: 3 })
    expect(readOver(directory, log).gaps).toEqual(['data-loss 1-2'])
    refusal('SEGMENT_CORRUPT', () => readOver(directory, log, { skip: false }))
    log.close()
  })

  it('is told that what lies before the first segment was trimmed', () => {
    const directory = temporaryDirectory()
    partition(directory, true)
    for (const name of [segmentFileName(0), indexFileName(0)]) fs.rmSync(path.join(directory, name))
    const found = readOver(directory, { offsetFirst: 1, offsetNext: 7 })
    expect(found.gaps).toEqual(['trimmed 1-3'])
    expect([...found.values.keys()]).toEqual([3, 4, 5, 6])
  })

  it('is shown a gap up to the watermark, and the rest of it when there is more behind', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (const value of VALUES) appendSynced(log, value)
    log.close()
    logFile(directory, 0).zeroFrom(64, 64 + 3 * 120)
    expect(readOver(directory, { offsetFirst: 0, offsetNext: 2 }).gaps).toEqual(['data-loss 0-2'])
    expect(readOver(directory, { offsetFirst: 0, offsetNext: 7 }).gaps).toEqual(['data-loss 0-3'])
  })
})

/** Where each record's batch ends in a segment of single-record batches. */
function recordEnds(directory: string, base: number): number[] {
  const bytes = fs.readFileSync(path.join(directory, segmentFileName(base)))
  const ends: number[] = []
  for (let at = 64; at < bytes.length && bytes.readUInt32LE(at + 24) > 0; ) {
    at += bytes.readUInt32LE(at + 24)
    ends.push(at)
  }
  return ends
}
