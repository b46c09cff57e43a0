import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { encodePartitionState, STATE_BYTES, STATE_SLOT_BYTES } from '#core/format/partition-state.js'
import { removeForgotten } from '#core/log/forget.js'
import { ensureState, loadState, STATE_FILE, writeState } from '#core/log/state-file.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { append, appendSynced, openPartition, readValues, refusal } from '../support/partition.js'
import { check, fc } from '../support/property.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { temporaryDirectory } from '../support/temporary.js'

const DIRECTORY = '/disk/t/0'
const VALUES = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
const real = new NodeFileSystem()

/** A disk with a state file that was updated `updates` times, to offsets 1, 2, …; all of it is on the platter. */
function diskWith(updates: number, random?: () => number): SimulatedDisk {
  const disk = new SimulatedDisk(random)
  disk.calmly(() => {
    disk.makeDirectory(DIRECTORY)
    ensureState(disk, DIRECTORY)
    for (let offsetFirst = 1; offsetFirst <= updates; offsetFirst++) writeState(disk, DIRECTORY, { offsetFirst })
  })
  return disk
}

const stateOf = (disk: SimulatedDisk): number => disk.calmly(() => loadState(disk, DIRECTORY).offsetFirst)

/** Numbers in [0, 1) for a disk to choose by. */
const chances = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1 })
const chooser = (numbers: readonly number[]) => {
  let at = 0
  return () => numbers[at++ % numbers.length]
}

describe('an update of the state file', () => {
  it('that a process died in stays as the next one found it, though the power goes then', () => {
    for (let dieAt = 1; dieAt < 12; dieAt++) {
      const disk = diskWith(3, () => 0.9)
      disk.callsLeft = dieAt
      try {
        writeState(disk, DIRECTORY, { offsetFirst: 100 })
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      disk.restart()
      const found = stateOf(disk)
      disk.calmly(() => ensureState(disk, DIRECTORY))
      disk.losePower(() => 0.9)
      expect(stateOf(disk)).toBe(found)
    }
  })

  it('that dies before any of its calls, with the power or without, leaves what was or what is to be', () => {
    check(
      fc.tuple(fc.nat(4), fc.nat(12), fc.boolean(), chances),
      ([updates, dieAt, isPowerLost, odds]) => {
        const random = chooser(odds)
        const disk = diskWith(updates, random)
        disk.dieAt = dieAt + 1
        let isDone = false
        try {
          writeState(disk, DIRECTORY, { offsetFirst: 100 })
          // The second copy may have died unseen.
          isDone = true
        } catch (error) {
          expect(error).toMatchObject({ code: 'EIO' })
        }
        if (isPowerLost) disk.losePower(random)
        else disk.restart()
        expect(isDone ? [100] : [updates, 100]).toContain(stateOf(disk))
        // And again, with what is there now.
        const before = stateOf(disk)
        disk.dieAt = undefined
        disk.calmly(() => writeState(disk, DIRECTORY, { offsetFirst: 200 }))
        disk.losePower(random)
        expect(stateOf(disk), `after ${before}`).toBe(200)
      },
      400,
    )
  })

  it('that fails in any of its calls is not there, neither now nor after a loss of power that comes at once', () => {
    check(
      fc.tuple(
        fc.nat(4),
        fc.integer({ min: 1, max: 10 }),
        fc.constantFrom('error' as const, 'short write' as const, 'disk full' as const),
        chances,
      ),
      ([updates, call, fault, odds]) => {
        const random = chooser(odds)
        const disk = diskWith(updates, random)
        disk.planned = { call, fault }
        try {
          writeState(disk, DIRECTORY, { offsetFirst: 100 })
          expect(stateOf(disk)).toBe(100)
          disk.losePower(random)
          expect(stateOf(disk)).toBe(100)
          return
        } catch (error) {
          expect(['EIO', 'ENOSPC']).toContain((error as { code?: string }).code)
        }
        // Who reads it in this process must not remove files for a state that no disk may have.
        expect(stateOf(disk)).toBe(updates)
        disk.calmly(() => writeState(disk, DIRECTORY, { offsetFirst: 200 }))
        disk.losePower(random)
        expect(stateOf(disk)).toBe(200)
      },
      400,
    )
  })

  it('makes no file, and takes no room', () => {
    const disk = diskWith(1)
    disk.bytesFree = 0
    for (let offsetFirst = 2; offsetFirst < 6; offsetFirst++) writeState(disk, DIRECTORY, { offsetFirst })
    expect(stateOf(disk)).toBe(5)
  })
})

describe('a state file', () => {
  it('with any one bit turned over still says the newest state', () => {
    const directory = temporaryDirectory()
    ensureState(real, directory)
    writeState(real, directory, { offsetFirst: 3 })
    writeState(real, directory, { offsetFirst: 70 })
    const file = path.join(directory, STATE_FILE)
    const sound = fs.readFileSync(file)
    for (const slotAt of [0, STATE_BYTES / 2]) {
      for (let bit = 0; bit < STATE_SLOT_BYTES * 8; bit++) {
        const bytes = Buffer.from(sound)
        bytes[slotAt + (bit >> 3)] ^= 1 << (bit & 7)
        fs.writeFileSync(file, bytes)
        expect(loadState(real, directory)).toEqual({ offsetFirst: 70 })
        writeState(real, directory, { offsetFirst: 80 })
        expect(loadState(real, directory)).toEqual({ offsetFirst: 80 })
      }
    }
  })

  it('cut to any length, or without a sound slot, is refused by name', () => {
    const directory = temporaryDirectory()
    const file = path.join(directory, STATE_FILE)
    const sound = encodePartitionState({ offsetFirst: 5 })
    for (const length of [0, 1, 63, 64, 65, 4096, 4159, 4160, STATE_BYTES - 1, STATE_BYTES + 1]) {
      fs.writeFileSync(file, Buffer.concat([sound, Buffer.alloc(1)]).subarray(0, length))
      expect(refusal('SEGMENT_CORRUPT', () => loadState(real, directory)).file).toBe(file)
    }
    fs.writeFileSync(file, Buffer.alloc(STATE_BYTES))
    refusal('SEGMENT_CORRUPT', () => loadState(real, directory))
  })

  it('of one slot, as it was written before, is read, and has two after the next open', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 2 })
    for (const value of VALUES) appendSynced(log, value)
    log.close()
    const old = Buffer.alloc(STATE_SLOT_BYTES)
    // Magic, version, first offset 3, and the CRC-32 of these bytes and 44 zeros.
    old.write('574c505301000000030000000000000000', 'hex')
    old.writeUInt32LE(crc32(old.subarray(0, 60)), 60)
    fs.writeFileSync(path.join(directory, STATE_FILE), old)
    expect(loadState(real, directory)).toEqual({ offsetFirst: 3 })
    const again = openPartition(directory, { segmentEntries: 2 })
    expect(readValues(directory, again)).toEqual(VALUES.slice(3))
    again.close()
    expect(fs.statSync(path.join(directory, STATE_FILE)).size).toBe(STATE_BYTES)
    expect(loadState(real, directory)).toEqual({ offsetFirst: 3 })
  })
})

describe('on a full disk', () => {
  /** Four segments of two records, of which the last has one; then no byte is free. */
  function fullDisk(): SimulatedDisk {
    const disk = new SimulatedDisk()
    const log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
    for (const value of VALUES) appendSynced(log, value)
    log.close()
    disk.bytesFree = 0
    return disk
  }

  it('a partition is opened, trimmed, and opened again', () => {
    for (let first = 1; first <= VALUES.length; first++) {
      const disk = fullDisk()
      const log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
      writeState(disk, DIRECTORY, { offsetFirst: first })
      removeForgotten(disk, DIRECTORY, log.openBaseOffset)
      log.close()
      disk.losePower(() => 0)
      const again = openPartition(DIRECTORY, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
      expect([again.offsetFirst, again.offsetNext]).toEqual([first, VALUES.length])
      expect(readValues(DIRECTORY, again, disk)).toEqual(VALUES.slice(first))
      again.close()
    }
  })

  it('that fills up at any byte, a partition with what it has acknowledged is opened and trimmed', () => {
    const probe = new SimulatedDisk()
    probe.bytesFree = 1 << 20
    const story = (disk: SimulatedDisk): string[] => {
      const acknowledged: string[] = []
      let log: ReturnType<typeof openPartition> | undefined
      try {
        log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
        for (const value of VALUES) {
          append(log, value)
          log.sync()
          log.acknowledgedOffset = log.offsetNext
          acknowledged.push(value)
        }
        log.close()
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' })
        log?.abandon()
      }
      return acknowledged
    }
    story(probe)
    const bytesAll = (1 << 20) - probe.bytesFree
    for (let bytesFree = 0; bytesFree <= bytesAll; bytesFree += bytesFree < STATE_BYTES ? 509 : 7) {
      const disk = new SimulatedDisk()
      disk.bytesFree = bytesFree
      const acknowledged = story(disk)
      let log: ReturnType<typeof openPartition>
      try {
        log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
      } catch (error) {
        // A full segment whose index found no room: nothing is lost, and room elsewhere is needed.
        expect(error).toMatchObject({ code: 'ENOSPC' })
        disk.bytesFree = 4096
        log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 2, segmentBytes: 4096 })
        disk.bytesFree = 0
      }
      const there = readValues(DIRECTORY, log, disk)
      expect(there.slice(0, acknowledged.length)).toEqual(acknowledged)
      if (bytesFree >= STATE_BYTES) {
        writeState(disk, DIRECTORY, { offsetFirst: there.length })
        removeForgotten(disk, DIRECTORY, log.openBaseOffset)
      }
      log.close()
    }
  })
})
