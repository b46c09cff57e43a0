import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { encodeBatch } from '#core/format/batch-encoder.js'
import { NAMED_PRODUCER_ID_MIN } from '#core/format/layout.js'
import { decodeProducers, encodeProducers } from '#core/format/producers-file.js'
import { cutPartition } from '#core/log/cut-partition.js'
import { removeForgotten } from '#core/log/forget.js'
import type { PartitionLog, PartitionLogOptions } from '#core/log/partition-log.js'
import { loadRegistry, registerProducer } from '#core/log/producer-registry.js'
import { DUPLICATE } from '#core/log/producer-state.js'
import { writeState } from '#core/log/state-file.js'
import { segmentBases } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { append, openPartition, START_MS } from '../support/partition.js'
import { check, fc } from '../support/property.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem, TracedFileSystem } from '../support/traced-file-system.js'

const A = NAMED_PRODUCER_ID_MIN + 1
const B = NAMED_PRODUCER_ID_MIN + 2 ** 40

const options = { segmentBytes: 4096, producersSince: 0 }
const open = (directory: string, more: Partial<PartitionLogOptions> = {}): PartitionLog =>
  openPartition(directory, { ...options, ...more })

/** Appends a batch of `count` records of the named producer, behind its last. */
function send(log: PartitionLog, id: number, count = 1, epoch = 1): number {
  const records = Array.from({ length: count }, () => ({ value: new Uint8Array(300) }))
  const sequenceFirst = log.producers.lastSequence(id) + 1
  return log.appendBatch(
    encodeBatch(records, { producerId: id, producerEpoch: epoch, sequenceFirst, timestampMs: START_MS }).region,
    0,
  )
}

const producersFiles = (directory: string): string[] =>
  fs.readdirSync(directory).filter((name) => name.endsWith('.producers'))

/** A partition of several sealed segments and a tail, in which two producers have written. */
function written(directory: string): { offsetsOfA: number[] } {
  const log = open(directory)
  const offsetsOfA: number[] = []
  for (let round = 0; round < 20; round++) {
    offsetsOfA.push(send(log, A, 2))
    append(log, 'of nobody')
    send(log, B, 1, 3)
  }
  log.close()
  return { offsetsOfA }
}

/** A partition whose segments a kill left unsealed, behind a durable trim of all that `A` wrote: 6 records. */
function writtenAndTrimmed(directory: string): void {
  const log = open(directory, { onRolled: () => {} })
  for (let round = 0; round < 3; round++) send(log, A, 2)
  for (let round = 0; round < 20; round++) append(log, 'x'.repeat(300))
  registerProducer(new NodeFileSystem(), path.dirname(directory), 'a', [0])
  writeState(new NodeFileSystem(), directory, { offsetFirst: log.offsetNext - 1 })
  log.abandon()
}

/** Opens with a process that dies before its `fatal`th call. Returns whether it came to that. */
function dies(directory: string, fatal: number): boolean {
  const { fs: dying, hasDied } = dyingFileSystem(fatal)
  try {
    open(directory, { fs: dying }).abandon()
  } catch (error) {
    expect(error).toMatchObject({ code: 'EIO' })
  }
  return hasDied()
}

function expectRecovered(directory: string, offsetsOfA: number[], more: Partial<PartitionLogOptions> = {}): void {
  const log = open(directory, more)
  expect(log.producers.lastSequence(A)).toBe(39)
  expect(log.producers.lastSequence(B)).toBe(19)
  expect(log.producers.epochOf(B)).toBe(3)
  for (let round = 10; round < 20; round++) expect(log.producers.check(A, 1, round * 2, 2)).toBe(offsetsOfA[round])
  expect([offsetsOfA[0], DUPLICATE]).toContain(log.producers.check(A, 1, 0, 2))
  log.close()
}

describe('how far named producers came', () => {
  test('is kept where none has written, so that such a partition opens when its begin is forgotten', () => {
    const directory = temporaryDirectory()
    const log = open(directory, { segmentEntries: 2 })
    for (let record = 0; record < 7; record++) append(log, 'of nobody')
    log.sync()
    writeState(new NodeFileSystem(), directory, { offsetFirst: 5 })
    expect(removeForgotten(new NodeFileSystem(), directory, log.openBaseOffset)).toBe(2)
    log.close()
    const again = open(directory)
    expect([again.offsetFirst, again.producers.lastSequence(A)]).toEqual([5, -1])
    again.close()
  })

  test('is known at the next open, without a look at sealed segments', () => {
    const directory = temporaryDirectory()
    const { offsetsOfA } = written(directory)
    const files = producersFiles(directory)
    expect(files.length).toBeGreaterThan(3)
    // All sealed segments but the last are beyond reading.
    const sealed = fs.readdirSync(directory).filter((name) => name.endsWith('.index'))
    for (const name of sealed.slice(0, -1)) fs.truncateSync(path.join(directory, name.replace('.index', '.log')), 0)
    expectRecovered(directory, offsetsOfA)
  })

  test('is found out from the batches where files are missing or damaged, and kept again', () => {
    const directory = temporaryDirectory()
    const { offsetsOfA } = written(directory)
    const files = producersFiles(directory)
    const last = path.join(directory, files.at(-1)!)
    const bytes = fs.readFileSync(last)
    for (let at = 0; at < bytes.length; at += 7) {
      const damaged = Uint8Array.from(bytes)
      damaged[at] ^= 4
      fs.writeFileSync(last, damaged)
      if (at >= 4 && at < 8) continue
      expectRecovered(directory, offsetsOfA)
      expect(fs.readFileSync(last).equals(bytes)).toBe(true)
    }
    for (const name of files) fs.rmSync(path.join(directory, name))
    expectRecovered(directory, offsetsOfA)
    expect(producersFiles(directory)).toEqual(files.slice(-1))
  })

  test('is not guessed where the batches that would tell are gone', () => {
    const directory = temporaryDirectory()
    written(directory)
    const bases = fs.readdirSync(directory).filter((name) => name.endsWith('.log'))
    for (const name of [bases[0], bases[0].replace('.log', '.index')]) fs.rmSync(path.join(directory, name))
    for (const name of producersFiles(directory)) fs.rmSync(path.join(directory, name))
    expect(() => open(directory)).toThrow('SEGMENT_CORRUPT')
    expect(() => open(directory, { producersSince: 1000 })).not.toThrow()
    open(directory, { recovery: 'tail' }).close()
  })

  test('is taken back with what is cut, and no file speaks for what comes instead', () => {
    const directory = temporaryDirectory()
    const log = open(directory)
    for (let round = 0; round < 8; round++) send(log, A, 2)
    const durable = { baseOffset: log.openBaseOffset, position: log.positionWritten, offset: log.offsetNext }
    for (let round = 0; round < 20; round++) send(log, A, 2)
    log.abandon()
    cutPartition(new NodeFileSystem(), directory, durable, START_MS)
    const again = open(directory)
    expect(again.producers.lastSequence(A)).toBe(15)
    for (let round = 0; round < 20; round++) send(again, B)
    again.close()
    const last = open(directory)
    expect([last.producers.lastSequence(A), last.producers.lastSequence(B)]).toEqual([15, 19])
    last.close()
  })

  test('is what the files hold, wherever a kill cuts the tail', () => {
    check(
      fc.record({ rounds: fc.integer({ min: 1, max: 40 }), cut: fc.integer({ min: 0, max: 2000 }) }),
      ({ rounds, cut }) => {
        const directory = temporaryDirectory()
        const log = open(directory)
        const ends: number[] = []
        for (let round = 0; round < rounds; round++) {
          send(log, A, 1 + (round % 3))
          ends.push(log.offsetNext)
        }
        const file = path.join(directory, `${String(log.openBaseOffset).padStart(20, '0')}.log`)
        const size = log.positionWritten
        log.close()
        fs.truncateSync(file, Math.max(size - cut, 64))
        const again = open(directory)
        expect(again.producers.lastSequence(A) + 1).toBe(again.offsetNext)
        expect([0, ...ends]).toContain(again.offsetNext)
        again.close()
      },
      40,
    )
  })

  test('is still known after kills at every call of recoveries, behind a trim of all that the name wrote', () => {
    for (let first = 1, isKilled = true; isKilled; first++) {
      const directory = path.join(temporaryDirectory(), '0')
      writtenAndTrimmed(directory)
      isKilled = dies(directory, first)
      for (let next = 1; isKilled && dies(directory, next); next++);
      const log = open(directory)
      expect([log.producers.lastSequence(A), log.isProgressLost]).toEqual([5, false])
      removeForgotten(new NodeFileSystem(), directory, log.openBaseOffset)
      log.close()
      const again = open(directory)
      expect(again.producers.lastSequence(A)).toBe(5)
      again.close()
      expect(segmentBases(fs.readdirSync(directory)).length).toBe(2)
    }
  })

  test('keeps forgotten segments until something else tells, be it that the disk is full', () => {
    const directory = path.join(temporaryDirectory(), '0')
    writtenAndTrimmed(directory)
    const full = new TracedFileSystem(({ name, file }) => {
      if (name === 'create' && file.includes('.producers')) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    })
    const basesBefore = segmentBases(fs.readdirSync(directory))
    for (let round = 0; round < 3; round++) {
      const log = open(directory, { fs: full })
      expect(log.producers.lastSequence(A)).toBe(5)
      removeForgotten(full, directory, log.openBaseOffset)
      log.close()
      expect(segmentBases(fs.readdirSync(directory))).toEqual(basesBefore)
    }
    open(directory).close()
    expect(segmentBases(fs.readdirSync(directory)).length).toBe(2)
  })

  test('is known to be nothing where a name was opened and has not written, whatever is trimmed', () => {
    const directory = temporaryDirectory()
    const log = open(directory)
    for (let round = 0; round < 40; round++) append(log, 'x'.repeat(300))
    writeState(new NodeFileSystem(), directory, { offsetFirst: 39 })
    removeForgotten(new NodeFileSystem(), directory, log.openBaseOffset)
    log.close()
    const again = open(directory)
    expect([again.offsetFirst, again.producers.lastSequence(A)]).toEqual([39, -1])
    again.close()
  })

  test('costs nothing where no name was ever used', () => {
    const directory = temporaryDirectory()
    const log = open(directory, { producersSince: undefined })
    for (let round = 0; round < 40; round++) append(log, 'x'.repeat(300))
    log.close()
    expect(producersFiles(directory)).toEqual([])
  })
})

test('a file of producers comes back as it was written, and one that is cut short is refused', () => {
  const file = {
    segmentId: 0xffff_fff1,
    baseOffset: 7,
    offsetEnd: 2 ** 50,
    producers: [
      { id: A, epoch: 9, sequenceNext: 2 ** 51, recent: [{ sequenceFirst: 5, recordCount: 3, baseOffset: 2 ** 40 }] },
      { id: B, epoch: 1, sequenceNext: 1, recent: [] },
    ],
  }
  const bytes = encodeProducers(file)
  expect(decodeProducers(bytes, 'f')).toEqual(file)
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeProducers(bytes.slice(0, length), 'f')).toThrow('SEGMENT_CORRUPT')
  }
})

test('a file of producers is what docs/format.md says', () => {
  const recent = [{ sequenceFirst: 5, recordCount: 3, baseOffset: 2 ** 33 }]
  const producers = [{ id: A, epoch: 9, sequenceNext: 8, recent }]
  const bytes = Buffer.from(
    encodeProducers({ segmentId: 0x1122_3344, baseOffset: 7, offsetEnd: 2 ** 33 + 3, producers }),
  )
  const u64 = (at: number): number => Number(bytes.readBigUInt64LE(at))
  expect([bytes.toString('latin1', 0, 4), bytes.length]).toEqual(['WLPR', 48 + 24 + 24])
  expect([4, 8, 12].map((at) => bytes.readUInt32LE(at))).toEqual([1, 0x1122_3344, 1])
  expect([u64(16), u64(24)]).toEqual([7, 2 ** 33 + 3])
  expect(bytes.subarray(32, 44).every((byte) => byte === 0)).toBe(true)
  expect([u64(48), u64(56), bytes.readUInt32LE(64), bytes.readUInt32LE(68)]).toEqual([A, 8, 9, 1])
  expect([u64(72), u64(80), bytes.readUInt32LE(88), bytes.readUInt32LE(92)]).toEqual([5, 2 ** 33, 3, 0])
  const check = bytes.readUInt32LE(44)
  bytes.writeUInt32LE(0, 44)
  expect(check).toBe(crc32(bytes))
})

describe('a registry', () => {
  const disk = new NodeFileSystem()

  test('raises the epoch with each opening, and keeps ids apart', () => {
    const directory = temporaryDirectory()
    expect(loadRegistry(disk, directory)).toBeUndefined()
    const first = registerProducer(disk, directory, 'a', [5, 0])
    const second = registerProducer(disk, directory, 'a', [9, 9])
    const other = registerProducer(disk, directory, '__proto__', [3, 9])
    expect(second.producer).toEqual({ id: first.producer.id, epoch: 2 })
    expect(other.producer.id).not.toBe(first.producer.id)
    expect(first.producer.id).toBeGreaterThanOrEqual(NAMED_PRODUCER_ID_MIN)
    expect(loadRegistry(disk, directory)).toEqual({
      since: [3, 0],
      producers: JSON.parse(JSON.stringify(other.registry.producers)),
    })
    expect(registerProducer(disk, directory, 'b', [null, 0, null, 7]).registry.since).toEqual([3, 0, null, 7])
    expect(registerProducer(disk, directory, 'b', [8, null, 6, 5]).registry.since).toEqual([3, 0, 6, 5])
    expect(registerProducer(disk, directory, '__proto__', [3, 9]).producer).toEqual({ ...other.producer, epoch: 2 })
  })

  test('refuses names that are none, and a file that is not its own', () => {
    const directory = temporaryDirectory()
    for (const name of ['', 'x'.repeat(1001), '\ud800']) {
      expect(() => registerProducer(disk, directory, name, [0])).toThrow('INVALID_ARGUMENT')
    }
    registerProducer(disk, directory, 'a', [0])
    const file = path.join(directory, 'producers.json')
    const text = fs.readFileSync(file, 'utf8')
    fs.writeFileSync(file, text.replace('"epoch": 1', '"epoch": 0'))
    expect(() => loadRegistry(disk, directory)).toThrow('SEGMENT_CORRUPT')
    fs.writeFileSync(file, text.replace('"version": 1', '"version": 2'))
    expect(() => loadRegistry(disk, directory)).toThrow('FORMAT_VERSION')
  })
})
