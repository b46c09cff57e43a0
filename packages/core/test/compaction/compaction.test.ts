import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { COMPACTION_STATE_FILE } from '#core/format/compaction-state.js'
import { removeForgotten } from '#core/log/forget.js'
import type { PartitionLog } from '#core/log/partition-log.js'
import { publishState } from '#core/log/state-file.js'
import { loadGaps } from '#core/segment/gaps.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { dumpSegment } from '#core/verify/dump.js'
import { verifyPartition } from '#core/verify/verify-partition.js'
import { compressAll, compressedBases } from '../support/compressed.js'
import { DamagedFile } from '../support/damage.js'
import { appendKeyed, compact, type Keyed, KeyedReader, type KeyedRecord, readKeyed } from '../support/keyed.js'
import { openPartition, refusal, START_MS } from '../support/partition.js'
import { below, randomOf } from '../support/random.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { temporaryDirectory } from '../support/temporary.js'

const nodeFs = new NodeFileSystem()
const put = (key: string | null, value: string | null): Keyed => ({ key, value })
const findings = (directory: string) => verifyPartition(nodeFs, { topic: 't', partition: 0, directory }).findings
const short = (records: KeyedRecord[]) => records.map(({ offset, key, value }) => `${offset}:${key}=${value}`)

/** Segments of at most three records; each list is a batch. */
function logOf(batches: Keyed[][], segmentEntries = 3): { directory: string; log: PartitionLog } {
  const directory = temporaryDirectory()
  const log = openPartition(directory, { segmentEntries })
  for (const records of batches) appendKeyed(log, records)
  return { directory, log }
}

const ab = [
  [put('a', '1'), put('b', '1'), put('a', '2')],
  [put('c', '1'), put('b', '2')],
  [put('a', '3')],
  [put('d', '1'), put('e', '1'), put('f', '1')],
  [put('a', '4'), put('b', '3'), put('c', '2')],
]

describe('compaction', () => {
  it('leaves the newest record of each key, at its offset, in order, and all that is not sealed or is the newest sealed', () => {
    const { directory, log } = logOf(ab)
    expect(compact(directory, log).rewritten).toBe(1)
    const left = ['4:b=2', '5:a=3', '6:d=1', '7:e=1', '8:f=1', '9:a=4', '10:b=3', '11:c=2']
    expect(short(readKeyed(directory, 0, 12))).toEqual(['3:c=1', ...left])
    expect(short(readKeyed(directory, 7, 12))).toEqual(left.slice(3))
    expect(findings(directory)).toEqual([])
    // Those of the open segment count when it is sealed, and there is another behind it.
    appendKeyed(log, [put('x', '1')])
    appendKeyed(log, [put('x', '2'), put('x', '3'), put('x', '4')])
    expect(compact(directory, log).rewritten).toBe(1)
    expect(short(readKeyed(directory, 0, 16)).slice(0, 5)).toEqual(['6:d=1', '7:e=1', '8:f=1', '9:a=4', '10:b=3'])
    log.close()
    for (let times = 0; times < 2; times++) {
      const again = openPartition(directory)
      expect([again.offsetFirst, again.offsetNext]).toEqual([0, 16])
      again.close()
      expect(short(readKeyed(directory, 0, 16)).slice(0, 5)).toEqual(['6:d=1', '7:e=1', '8:f=1', '9:a=4', '10:b=3'])
    }
    expect(findings(directory)).toEqual([])
  })

  it('keeps records without a key, and tells an empty value from none', () => {
    const { directory, log } = logOf([
      [put(null, '1'), put('a', ''), put(null, '2')],
      [put('a', ''), put(null, null), put('b', '')],
      [put('z', '1'), put('z', '2'), put('z', '3')],
      [put('z', '4')],
    ])
    compact(directory, log, { deleteGraceMs: 0 })
    expect(short(readKeyed(directory, 0, 6))).toEqual(['0:null=1', '2:null=2', '3:a=', '4:null=null', '5:b='])
    log.close()
  })

  it('keeps a tombstone until its grace is over, and with it what it deletes never comes back', () => {
    const { directory, log } = logOf([
      [put('a', '1'), put('b', '1'), put('c', '1')],
      [put('a', null), put('b', '2'), put('d', '1')],
      [put('e', '1'), put('e', '2'), put('e', '3')],
      [put('f', '1')],
    ])
    expect(compact(directory, log).dueMs).toBe(START_MS + 1000)
    expect(short(readKeyed(directory, 0, 6))).toEqual(['2:c=1', '3:a=null', '4:b=2', '5:d=1'])
    expect(compact(directory, log, { nowMs: START_MS + 999 })).toEqual({
      rewritten: 0,
      isMore: false,
      dueMs: START_MS + 1000,
    })
    expect(compact(directory, log, { nowMs: START_MS + 1000 })).toMatchObject({ rewritten: 1, isMore: false })
    expect(short(readKeyed(directory, 0, 6))).toEqual(['2:c=1', '4:b=2', '5:d=1'])
    log.close()
  })

  it('keeps a tombstone for as long as a segment before it has lost something, and is left as it is', () => {
    const { directory, log } = logOf([
      [put('a', '1')],
      [put('b', '1')],
      [put('c', '1')],
      [put('a', null), put('b', '2'), put('d', '1')],
      [put('e', '1'), put('e', '2'), put('e', '3')],
      [put('f', '1')],
    ])
    log.close()
    // The batch of b.
    new DamagedFile(path.join(directory, segmentFileName(0))).flipByte(64 + 120 + 100)
    fs.rmSync(path.join(directory, indexFileName(0)))
    openPartition(directory, { recovery: 'skip' }).close()
    expect(loadGaps(nodeFs, directory, 0)?.gaps).toHaveLength(1)
    for (let times = 0; times < 2; times++) {
      fs.rmSync(path.join(directory, COMPACTION_STATE_FILE), { force: true })
      expect(compact(directory, { openBaseOffset: 9 }, { deleteGraceMs: 0 }).rewritten).toBe(0)
      expect(short(readKeyed(directory, 3, 6))).toEqual(['3:a=null', '4:b=2', '5:d=1'])
    }
  })

  it('waits until what is new is half of what is clean', () => {
    const { directory, log } = logOf([])
    const values = Array.from({ length: 40 }, (_, n) => put(`k${n}`, 'v'.repeat(50)))
    for (const record of values) appendKeyed(log, [record])
    expect(compact(directory, log).isMore).toBe(false)
    appendKeyed(log, [put('k0', '1'), put('k1', '1'), put('k2', '1')])
    appendKeyed(log, [put('k0', '2'), put('k1', '2'), put('k2', '2')])
    expect(compact(directory, log)).toEqual({ rewritten: 0, isMore: false, dueMs: Number.POSITIVE_INFINITY })
    for (let n = 0; n < 60; n++) appendKeyed(log, [put('k0', `${n}`)])
    expect(compact(directory, log).rewritten).toBeGreaterThan(1)
    log.close()
  })

  it('goes on in several passes where there are more keys than are held at once', () => {
    const random = randomOf(5)
    const batches = Array.from({ length: 60 }, (_, n) => [put(`k${below(random, 25)}`, `${n}`)])
    const { directory, log } = logOf(batches)
    let passes = 0
    for (let isMore = true; isMore; passes++) isMore = compact(directory, log, { keysMax: 4 }).isMore
    expect(passes).toBeGreaterThan(2)
    const found = readKeyed(directory, 0, 60)
    expect(found.length).toBeLessThan(60)
    checkAgainst(batches.flat(), found, 0)
    log.close()
  })

  it('does not come under a reader’s feet, nor under those of one who goes on by another’s position', () => {
    const { directory, log } = logOf(
      Array.from({ length: 40 }, (_, n) => [put(`k${n % 7}`, `${n}${'x'.repeat(700)}`)]),
      10,
    )
    const highWatermark = log.offsetNext
    for (let fills = 1; fills < 8; fills++) {
      const copy = temporaryDirectory()
      fs.cpSync(directory, copy, { recursive: true })
      const reader = new KeyedReader(copy, 0)
      for (let n = 0; n < fills; n++) reader.fill(highWatermark)
      const { position } = reader
      const before = reader.records.length
      compact(copy, log)
      compressAll(copy)
      while (reader.fill(highWatermark));
      reader.close()
      // Of the segment that is open all is there; of those behind it, what is left.
      expect(reader.records.slice(0, before).map(({ offset }) => offset)).toEqual(
        Array.from({ length: before }, (_, n) => n),
      )
      const latest = new Map(reader.records.map(({ key, offset }) => [key, offset]))
      expect([...latest.values()].sort((left, right) => left - right)).toEqual([33, 34, 35, 36, 37, 38, 39])
      const offsets = readOnFrom(copy, position!, highWatermark)
      expect(offsets).toEqual(offsets.toSorted((left, right) => left - right))
      expect(offsets.every((offset) => offset >= position!.offset)).toBe(true)
      const left = [33, 34, 35, 36, 37, 38, 39].filter((offset) => offset >= position!.offset)
      expect(offsets.slice(-left.length)).toEqual(left)
    }
    log.close()
  })

  it('shows nothing that was deleted to one who begins anew with a reader that has the old file open', () => {
    const { directory, log } = logOf([
      [put('a', '1'), put('b', '1'), put('c', '1')],
      [put('a', null), put('d', '1'), put('e', '1')],
      [put('f', '1'), put('g', '1'), put('h', '1')],
      [put('i', '1')],
    ])
    const reader = new KeyedReader(directory, 0)
    reader.fill(3)
    compact(directory, log, { deleteGraceMs: 0 })
    reader.beginAnew()
    while (reader.fill(9));
    reader.close()
    expect(short(reader.records)[0]).toBe('1:b=1')
    expect(reader.records.some(({ key }) => key === 'a')).toBe(false)
    log.close()
  })

  it('keeps how far each named producer came, also where its records are gone and its file of producers with them', () => {
    const directory = temporaryDirectory()
    const id = 2 ** 52 + 5
    const log = openPartition(directory, { segmentEntries: 3, producersSince: 0 })
    for (let n = 0; n < 12; n++) {
      appendKeyed(log, [put('a', `${n}`)], {
        producerId: n < 4 ? id : 7,
        producerEpoch: 2,
        sequenceFirst: n < 4 ? n : 0,
      })
    }
    compact(directory, log)
    log.close()
    expect(short(readKeyed(directory, 0, 12))).toEqual([6, 7, 8, 9, 10, 11].map((n) => `${n}:a=${n}`))
    for (const withFiles of [true, false]) {
      if (!withFiles) {
        for (const name of fs.readdirSync(directory))
          if (name.endsWith('.producers')) fs.rmSync(path.join(directory, name))
      }
      const again = openPartition(directory, { producersSince: 0 })
      expect([again.producers.lastSequence(id), again.producers.epochOf(id)]).toEqual([3, 2])
      again.close()
    }
  })

  it('goes on after a trim, and starts anew where its state is not of the segments that are there', () => {
    const { directory, log } = logOf(ab)
    compact(directory, log)
    publishState(nodeFs, directory, { offsetFirst: 6 })
    removeForgotten(nodeFs, directory, log.openBaseOffset)
    for (const value of ['5', '6', '7']) appendKeyed(log, [put('a', value), put('g', value), put('h', value)])
    expect(compact(directory, log).rewritten).toBeGreaterThan(0)
    expect(short(readKeyed(directory, 6, log.offsetNext))).toContain('6:d=1')
    const state = new DamagedFile(path.join(directory, COMPACTION_STATE_FILE))
    state.flipByte(9)
    expect(findings(directory).map(({ kind }) => kind)).toEqual(['compaction'])
    expect(compact(directory, log)).toMatchObject({ rewritten: 0 })
    expect(findings(directory)).toEqual([])
    log.close()
  })

  it('reads and leaves compressed segments, which may be compressed again', () => {
    const { directory, log } = logOf(ab.map((batch) => batch.map(({ key, value }) => put(key, value!.repeat(300)))))
    compressAll(directory)
    expect(compressedBases(directory)).toEqual([0, 3, 6])
    compact(directory, log)
    expect(compressedBases(directory)).toEqual([3, 6])
    const found = short(readKeyed(directory, 0, 12))
    compressAll(directory)
    expect(compressedBases(directory)).toEqual([0, 3, 6])
    expect(short(readKeyed(directory, 0, 12))).toEqual(found)
    expect(findings(directory)).toEqual([])
    log.close()
  })

  it('stops at damage, tells of it, and changes nothing behind it', () => {
    const { directory, log } = logOf(ab)
    const file = new DamagedFile(path.join(directory, segmentFileName(3)))
    const names = fs.readdirSync(directory)
    for (let at = 64; at < file.length; at += 9) {
      file.flipByte(at)
      refusal('SEGMENT_CORRUPT', () => compact(directory, log))
      expect(fs.readdirSync(directory)).toEqual(names)
    }
    log.close()
  })

  it('shows what is left to a person', () => {
    const { directory, log } = logOf(ab)
    compact(directory, log)
    const items = [...dumpSegment(nodeFs, path.join(directory, segmentFileName(3)))]
    expect(items.filter(({ type }) => type === 'record').map((item) => 'offset' in item && item.offset)).toEqual([
      3, 4, 5,
    ])
    expect(items.at(-1)).toMatchObject({ type: 'end', offset: 6, records: 3 })
    log.close()
  })
})

describe('a model', () => {
  it('has, after compaction at any moment, the latest record of each key, none out of order, and none that was deleted', () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', null)
    const record = fc.record({ key, value: fc.option(fc.constantFrom('', 'v', 'w'.repeat(90)), { freq: 4 }) })
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.array(record, { minLength: 1, maxLength: 5 }) },
      { weight: 2, arbitrary: fc.constantFrom('compact', 'compress', 'reopen', 'wait') },
    )
    const directory = temporaryDirectory()
    let runs = 0
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 2, max: 6 }), (steps, segmentEntries) => {
        const place = path.join(directory, String(runs++))
        let log = openPartition(place, { segmentEntries })
        const written: Keyed[] = []
        let nowMs = START_MS
        for (const each of steps) {
          if (each === 'compact') {
            for (let isMore = true; isMore; ) isMore = compact(place, log, { nowMs, keysMax: 3 }).isMore
          } else if (each === 'compress') compressAll(place, { compression: 'lz4' })
          else if (each === 'wait') nowMs += 600
          else if (each === 'reopen') {
            log.close()
            log = openPartition(place, { segmentEntries })
          } else {
            appendKeyed(log, each)
            written.push(...each)
          }
        }
        expect(log.offsetNext).toBe(written.length)
        expect(findings(place)).toEqual([])
        for (const from of written.length > 0 ? [0, written.length >>> 1] : [])
          checkAgainst(written, readKeyed(place, from, written.length), from)
        log.close()
      }),
      { numRuns: 150 },
    )
  }, 120_000)
})

/** What a reader from `from` on has to find, whatever was compacted. */
function checkAgainst(written: readonly Keyed[], found: readonly KeyedRecord[], from: number): void {
  const byOffset = new Map(found.map((record) => [record.offset, record]))
  const latest = new Map<string, number>()
  for (const [offset, { key }] of written.entries()) if (key !== null) latest.set(key, offset)
  for (const { offset, key, value } of found) expect({ key, value }).toEqual(written[offset])
  for (const [offset, { key, value }] of written.entries()) {
    if (offset < from) continue
    if (key === null) expect(byOffset.has(offset)).toBe(true)
    else if (latest.get(key) === offset && value !== null) expect(byOffset.has(offset)).toBe(true)
  }
  // State built by reading everything: deleted keys have no value.
  if (from > 0) return
  const state = new Map<string, string | null>()
  for (const { key, value } of found) if (key !== null) state.set(key, value)
  for (const [key, offset] of latest) expect(state.get(key) ?? null).toBe(written[offset].value)
}

function readOnFrom(directory: string, position: { offset: number }, highWatermark: number): number[] {
  const reader = new KeyedReader(directory, position.offset)
  reader.goOnFrom(position as never)
  while (reader.fill(highWatermark));
  reader.close()
  return reader.records.map(({ offset }) => offset)
}

describe('a crash or a failure', () => {
  const DIRECTORY = '/disk/topic/0'
  const FAULTS = ['read error', 'write error', 'short write', 'metadata error', 'sync error', 'disk full'] as const
  const records = Array.from({ length: 24 }, (_, n) => put(`k${n % 3}`, n === 10 ? null : `${n}`))

  function diskOf(seed: number): SimulatedDisk {
    const disk = new SimulatedDisk(randomOf(seed))
    disk.calmly(() => {
      const log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 6 })
      for (const record of records) appendKeyed(log, [record])
      log.close()
      openPartition(DIRECTORY, { fs: disk }).close()
    })
    return disk
  }

  const run = (disk: SimulatedDisk) => compact(DIRECTORY, { openBaseOffset: 18 }, { fs: disk, deleteGraceMs: 0 })

  /** Opens twice, strictly: the same is there, and nothing is left over. */
  function check(disk: SimulatedDisk): string[] {
    return disk.calmly(() => {
      const found = [0, 1].map(() => {
        const log = openPartition(DIRECTORY, { fs: disk })
        expect(log.offsetNext).toBe(24)
        const read = readKeyed(DIRECTORY, 0, 24, disk)
        log.close()
        checkAgainst(records, read, 0)
        const names = disk.list(DIRECTORY)
        expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([])
        expect(names.filter((name) => name.endsWith('.log')).length).toBe(4)
        for (const base of [0, 6, 12]) expect(names).toContain(indexFileName(base))
        expect(verifyPartition(disk, { topic: 't', partition: 0, directory: DIRECTORY }).findings).toEqual([])
        return short(read)
      })
      expect(found[1]).toEqual(found[0])
      // Whatever it was, it can be gone on with, and comes to the same end.
      run(disk)
      return short(readKeyed(DIRECTORY, 0, 24, disk))
    })
  }

  const clean = diskOf(0)
  run(clean)
  const end = check(clean)

  it.each([false, true])('at any call leaves every key’s latest record (power lost: %s)', (isPowerLost) => {
    let calls = 0
    for (let call = 1; ; call++) {
      const disk = diskOf(call)
      disk.calls = 0
      disk.dieAt = call
      try {
        run(disk)
        break
      } catch {}
      calls++
      if (isPowerLost) disk.losePower(randomOf(call))
      else disk.restart()
      expect(check(disk)).toEqual(end)
    }
    expect(calls).toBeGreaterThan(40)
  })

  it('of any kind, at any time, in any order, leaves what the model has', () => {
    const seeds = Number(process.env['WALRUS_TORTURE_SEEDS'] ?? 15)
    const from = Number(process.env['WALRUS_TORTURE_FROM'] ?? 1)
    const counts = { passes: 0, deaths: 0, failures: 0 }
    for (let seed = from; seed < from + seeds; seed++) {
      try {
        story(seed, counts)
      } catch (error) {
        const replay = `WALRUS_TORTURE_SEEDS=1 WALRUS_TORTURE_FROM=${seed} npx vitest run packages/core/test/compaction`
        throw new Error(`seed ${seed} (${replay}): ${(error as Error).message}`, { cause: error })
      }
    }
    console.log(`${seeds} seeds from ${from}: ${JSON.stringify(counts)}`)
  }, 600_000)

  /** Appends in peace; compacts, compresses, dies and loses power in between. */
  function story(seed: number, counts: { passes: number; deaths: number; failures: number }): void {
    const random = randomOf(seed)
    const disk = new SimulatedDisk(randomOf(seed ^ 0x5bd1_e995))
    const segmentEntries = 2 + below(random, 6)
    const written: Keyed[] = []
    let nowMs = START_MS
    const open = () => disk.calmly(() => openPartition(DIRECTORY, { fs: disk, segmentEntries }))
    let log = open()
    const reopen = (): void => {
      log = open()
      disk.calmly(() => {
        expect(log.offsetNext).toBe(written.length)
        if (written.length > 0) checkAgainst(written, readKeyed(DIRECTORY, 0, written.length, disk), 0)
        expect(verifyPartition(disk, { topic: 't', partition: 0, directory: DIRECTORY }).findings).toEqual([])
      })
    }
    for (let step = 0; step < 60; step++) {
      const chance = random()
      if (chance < 0.6) {
        const batch = Array.from({ length: 1 + below(random, 3) }, () =>
          put(`k${below(random, 5)}`, random() < 0.2 ? null : `${written.length}`),
        )
        disk.calmly(() => appendKeyed(log, batch))
        written.push(...batch)
        nowMs += below(random, 300)
        continue
      }
      if (chance < 0.7) disk.writeBack(random)
      if (chance > 0.75) disk.callsLeft = below(random, 40)
      if (chance > 0.85) for (const fault of FAULTS) disk.rates.set(fault, random() * 0.05)
      try {
        counts.passes++
        compact(DIRECTORY, log, { fs: disk, nowMs, keysMax: 1 + below(random, 8) })
        if (random() < 0.5) compressAll(DIRECTORY, { fs: disk, compression: 'lz4' })
      } catch {
        counts.failures++
      }
      disk.rates.clear()
      if (disk.isDead || random() < 0.3) {
        counts.deaths++
        log.abandon()
        if (random() < 0.5) disk.losePower(random)
        else disk.restart()
        reopen()
      }
      disk.callsLeft = Number.POSITIVE_INFINITY
    }
    log.close()
    reopen()
    log.close()
  }

  it.each(['error', 'short write', 'disk full'] as const)('by one %s at any call does as well', (fault) => {
    let placed = 0
    for (let call = 1; call < 150; call++) {
      const disk = diskOf(call)
      disk.calls = 0
      disk.planned = { call, fault }
      try {
        run(disk)
      } catch {}
      if (!disk.wasPlaced) continue
      placed++
      expect(check(disk)).toEqual(end)
    }
    expect(placed).toBeGreaterThanOrEqual(fault === 'error' ? 40 : 5)
  })
})
