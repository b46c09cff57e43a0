import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { decideRetention, removeForgotten } from '#core/log/forget.js'
import type { PartitionLog } from '#core/log/partition-log.js'
import { loadState, STATE_FILE, writeState } from '#core/log/state-file.js'
import { segmentBases } from '#core/segment/segment-name.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import {
  append,
  appendSynced,
  openPartition,
  readRecords,
  readValues,
  refusal,
  START_MS,
} from '../support/partition.js'
import { check, fc } from '../support/property.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { freshPlace, temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem } from '../support/traced-file-system.js'

const VALUES = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

/** Four segments of two records, of which the last one is open with one. */
function filled(directory: string, system: FileSystem = new NodeFileSystem()): PartitionLog {
  const log = openPartition(directory, { fs: system, segmentEntries: 2 })
  for (const value of VALUES) appendSynced(log, value)
  return log
}

function trim(system: FileSystem, directory: string, log: PartitionLog, offsetFirst: number): void {
  writeState(system, directory, { offsetFirst })
  removeForgotten(system, directory, log.openBaseOffset)
}

const basesOf = (directory: string) => segmentBases(fs.readdirSync(directory))

describe('a trim', () => {
  it('moves the first offset exactly, and frees whole segments but for the last sealed one', () => {
    for (let first = 0; first <= VALUES.length; first++) {
      const directory = temporaryDirectory()
      const log = filled(directory)
      trim(new NodeFileSystem(), directory, log, first)
      log.close()
      expect(basesOf(directory)).toEqual([0, 2, 4, 6].filter((base) => base + 2 > first || base >= 4))
      const again = openPartition(directory)
      expect([again.offsetFirst, again.offsetNext]).toEqual([first, 7])
      expect(readValues(directory, again)).toEqual(VALUES.slice(first))
      expect(append(again, 'h')).toBe(7)
      again.close()
    }
  })

  it('that dies before any of its calls has happened or not, and leaves nothing behind at the next open', () => {
    for (let fatal = 1; ; fatal++) {
      const directory = temporaryDirectory()
      const log = filled(directory)
      const { fs: dying, hasDied } = dyingFileSystem(fatal)
      try {
        trim(dying, directory, log, 5)
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      log.abandon()
      // Dies in the open that follows, too, at each of its calls.
      for (let again = 1; again < 20; again++) {
        const { fs: dyingAgain, hasDied: hasDiedAgain } = dyingFileSystem(again)
        try {
          openPartition(directory, { fs: dyingAgain }).abandon()
        } catch (error) {
          expect(error).toMatchObject({ code: 'EIO' })
        }
        if (!hasDiedAgain()) break
      }
      const reopened = openPartition(directory)
      expect([0, 5]).toContain(reopened.offsetFirst)
      expect(readValues(directory, reopened)).toEqual(VALUES.slice(reopened.offsetFirst))
      expect(basesOf(directory)).toEqual(reopened.offsetFirst === 5 ? [4, 6] : [0, 2, 4, 6])
      reopened.close()
      if (!hasDied()) {
        expect(reopened.offsetFirst).toBe(5)
        break
      }
      expect(fatal).toBeLessThan(50)
    }
  })

  it('never lets offsets or the lease epoch begin anew, whatever a loss of power leaves', () => {
    const directory = '/disk/topic/0'
    const actions = fc.array(
      fc.oneof(
        fc.constant('append' as const),
        fc.constant('reopen' as const),
        fc.constant('lose power' as const),
        fc.record({ trim: fc.nat(100) }),
        fc.record({ dieAfter: fc.nat(12) }),
      ),
      { maxLength: 40 },
    )
    check(
      fc.tuple(actions, fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1 })),
      ([story, odds]) => {
        const disk = new SimulatedDisk()
        let odd = 0
        const random = () => odds[odd++ % odds.length]
        const open = () => openPartition(directory, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
        let log = open()
        let [first, wanted, next, epoch] = [0, 0, 0, log.leaseEpoch]
        const reopen = (): void => {
          log = open()
          expect([first, wanted]).toContain(log.offsetFirst)
          first = log.offsetFirst
          expect(log.offsetNext).toBeGreaterThanOrEqual(next)
          expect(log.leaseEpoch).toBeGreaterThanOrEqual(epoch)
          ;[wanted, next, epoch] = [first, log.offsetNext, log.leaseEpoch]
          const values = readRecordsOf(disk, directory, log)
          expect(values).toEqual(Array.from({ length: next - first }, (_none, index) => String(first + index)))
        }
        for (const action of story) {
          try {
            if (action === 'append') {
              appendSynced(log, String(log.offsetNext))
              next = log.offsetNext
              epoch = log.leaseEpoch
            } else if (action === 'reopen') {
              log.abandon()
              reopen()
            } else if (action === 'lose power') {
              disk.losePower(random)
              reopen()
            } else if ('dieAfter' in action) {
              disk.callsLeft = action.dieAfter
            } else {
              wanted = Math.max(first, Math.min(action.trim % (next + 1), next))
              trim(disk, directory, log, wanted)
              first = wanted
            }
          } catch (error) {
            if ((error as { code?: string }).code !== 'EIO') throw error
            disk.losePower(random)
            reopen()
          }
        }
      },
      150,
    )
  })

  it('behind a log that lost its end moves back with it, durably: what is appended then stays', () => {
    const directory = temporaryDirectory()
    filled(directory).close()
    writeState(new NodeFileSystem(), directory, { offsetFirst: 100 })
    const log = openPartition(directory)
    expect([log.offsetFirst, log.offsetNext]).toEqual([7, 7])
    append(log, 'h')
    log.close()
    const again = openPartition(directory)
    expect(readValues(directory, again)).toEqual(['h'])
    again.close()
    expect(loadState(new NodeFileSystem(), directory)).toEqual({ offsetFirst: 7 })
  })
})

function readRecordsOf(disk: FileSystem, directory: string, log: PartitionLog): string[] {
  return log.offsetFirst === log.offsetNext
    ? []
    : readRecords(directory, log.offsetFirst, log.offsetNext, { fs: disk }).map(({ value }) => value)
}

describe('the state file', () => {
  it('of which nothing is whole is refused by name, and made nothing of where damage may be cut', () => {
    const directory = temporaryDirectory()
    filled(directory).close()
    writeState(new NodeFileSystem(), directory, { offsetFirst: 3 })
    const file = path.join(directory, STATE_FILE)
    const whole = fs.readFileSync(file)
    for (const damaged of [whole.subarray(0, 40), whole.map((byte) => byte ^ 0x10), Buffer.alloc(0)]) {
      fs.writeFileSync(file, damaged)
      expect(refusal('SEGMENT_CORRUPT', () => openPartition(directory)).file).toBe(file)
    }
    const log = openPartition(directory, { recovery: 'tail' })
    expect(readValues(directory, log)).toEqual(VALUES)
    log.close()
    expect(loadState(new NodeFileSystem(), directory)).toEqual({ offsetFirst: 0 })
  })
})

describe('retention by what a directory holds', () => {
  it('counts records, bytes and age of whole segments', () => {
    const directory = freshPlace(temporaryDirectory())
    const log = filled(directory)
    const open = { baseOffset: log.openBaseOffset, position: log.positionWritten, offset: log.offsetNext }
    const decide = (retention: object, nowMs = START_MS) =>
      decideRetention(new NodeFileSystem(), directory, open, retention, nowMs)
    expect(decide({})).toEqual({ offsetFirst: 0, dueMs: undefined })
    expect(decide({ records: 5 }).offsetFirst).toBe(2)
    expect(decide({ records: 6 }).offsetFirst).toBe(0)
    // The last sealed one stays, whatever is asked.
    expect(decide({ records: 0 }).offsetFirst).toBe(4)
    const bytes = fs.statSync(path.join(directory, '00000000000000000000.log')).size
    expect(decide({ bytes: 2 * bytes + open.position }).offsetFirst).toBe(2)
    expect(decide({ bytes: 2 * bytes + open.position + 1 }).offsetFirst).toBe(0)
    expect(decide({ ms: 10 }, START_MS + 9)).toEqual({ offsetFirst: 0, dueMs: START_MS + 10 })
    expect(decide({ ms: 10 }, START_MS + 10)).toEqual({ offsetFirst: 4, dueMs: undefined })
    log.close()
  })
})
