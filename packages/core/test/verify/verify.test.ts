import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { STATE_BYTES } from '#core/format/partition-state.js'
import { encodeProducers } from '#core/format/producers-file.js'
import { registerProducer } from '#core/log/producer-registry.js'
import { loadState, writeState } from '#core/log/state-file.js'
import { TopicStore } from '#core/log/topic-store.js'
import { gapsFileName, indexFileName, producersFileName, segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { type DumpItem, dumpGaps, dumpIndex, dumpSegment } from '#core/verify/dump.js'
import type { RepairMode } from '#core/verify/repair-partition.js'
import { type TopicReport, verifyLog } from '#core/verify/verify-log.js'
import { DamagedFile } from '../support/damage.js'
import { append, appendSynced, openPartition, readValues, refusal } from '../support/partition.js'
import { readOver } from '../support/read-over.js'
import { temporaryDirectory } from '../support/temporary.js'

const nodeFs = new NodeFileSystem()

/** A log of one topic: segments 0 and 2 of two records each, sealed, and 4 of one, open. */
function logOf(records = 5): { directory: string; partition: string; file: (name: string) => DamagedFile } {
  const directory = temporaryDirectory()
  new TopicStore(nodeFs, directory).open('t', { segmentBytes: 4096 }, { durability: 'disk' }, 1)
  const partition = path.join(directory, 't', '0')
  const log = openPartition(partition, { segmentEntries: 2 })
  for (let n = 0; n < records; n++) appendSynced(log, `${n}`)
  log.close()
  return { directory, partition, file: (name) => new DamagedFile(path.join(partition, name)) }
}

function verify(directory: string, repair?: RepairMode, nowMs = 77): TopicReport {
  const reports = [...verifyLog({ fs: nodeFs, directory, repair, nowMs })]
  expect(reports).toHaveLength(1)
  return reports[0]
}

function findings(directory: string): TopicReport['findings'] {
  const { findings, partitions } = verify(directory)
  return [...findings, ...partitions.flatMap((partition) => partition.findings)]
}

function values(partition: string): { values: string[]; gaps: string[] } {
  const log = openPartition(partition, { segmentEntries: 2 })
  const found = readOver(partition, log, { skip: false })
  log.close()
  return { values: [...found.values.values()], gaps: found.gaps }
}

describe('verify', () => {
  it('finds every single flipped bit of data, index, gaps, settings and all else, and names the file that has it', () => {
    const { directory, partition, file } = logOf()
    file(segmentFileName(4)).garbageFrom(64 + 8)
    append(openPartition(partition, { recovery: 'skip', segmentEntries: 2 }), 'open')
    file(segmentFileName(2)).flipByte(64 + 100)
    fs.rmSync(path.join(partition, indexFileName(2)))
    openPartition(partition, { recovery: 'skip', segmentEntries: 2 }).close()
    writeState(nodeFs, partition, { offsetFirst: 1 })
    const recent = [{ sequenceFirst: 0, recordCount: 2, baseOffset: 0 }]
    const producers = [{ id: 2 ** 52, epoch: 1, sequenceNext: 2, recent }]
    const bytes = encodeProducers({ segmentId: 7, baseOffset: 0, offsetEnd: 2, producers })
    fs.writeFileSync(path.join(partition, producersFileName(0)), bytes)
    registerProducer(nodeFs, path.join(directory, 't'), 'name', [0])
    expect(findings(directory)).toEqual([])
    const names = fs.readdirSync(partition).map((name) => path.join(partition, name))
    expect(names.filter((name) => name.endsWith('.gaps'))).toHaveLength(1)
    for (const name of [
      ...names,
      path.join(directory, 't', 'topic.json'),
      path.join(directory, 't', 'producers.json'),
    ]) {
      const damaged = new DamagedFile(name)
      const step = name.endsWith('.log') ? 3 : name.endsWith('partition.state') ? 29 : 1
      for (let bit = 0; bit < damaged.length * 8; bit += step) {
        // What was given up may be whatever it is.
        if (name === path.join(partition, segmentFileName(2)) && bit >= 64 * 8 && bit < 184 * 8) continue
        damaged.flipByte(bit >>> 3, 1 << (bit & 7))
        expect(findings(directory)[0]?.file, `bit ${bit} of ${name}`).toBe(name)
      }
      damaged.restore()
    }
    expect(findings(directory)).toEqual([])
  }, 600_000)

  it('takes away, on demand, what the next open makes anew or does without, and keeps the original beside', () => {
    const { directory, partition, file } = logOf()
    writeState(nodeFs, partition, { offsetFirst: 1 })
    file('partition.state').flipByte(9)
    file('partition.state').flipByte(STATE_BYTES / 2 + 9)
    fs.writeFileSync(path.join(partition, producersFileName(0)), 'of no use')
    expect(findings(directory).map(({ kind }) => kind)).toEqual(['state', 'producers'])
    const { kept, remaining } = verify(directory, 'cut')
    expect([remaining, kept.map((name) => path.basename(name))]).toEqual([
      [],
      ['partition.state.damaged-77', `${producersFileName(0)}.damaged-77`],
    ])
    expect(values(partition)).toEqual({ values: ['0', '1', '2', '3', '4'], gaps: [] })
  })

  it('mends a state of which one copy is whole, so that what was trimmed stays so', () => {
    const { directory, partition, file } = logOf()
    writeState(nodeFs, partition, { offsetFirst: 1 })
    for (const at of [9, STATE_BYTES / 2 + 9, 2000]) {
      file('partition.state').flipByte(at)
      expect(findings(directory)).toMatchObject([{ kind: 'state' }])
      expect(verify(directory, 'cut')).toMatchObject({ remaining: [] })
      expect(loadState(nodeFs, partition)).toEqual({ offsetFirst: 1 })
      fs.rmSync(path.join(partition, 'partition.state.damaged-77'))
    }
    expect(readValues(partition, { offsetFirst: 1, offsetNext: 5 })).toEqual(['1', '2', '3', '4'])
  })

  it('says where damage is, which offsets it has, and what to do', () => {
    const { directory, file } = logOf()
    file(segmentFileName(0)).flipByte(64 + 100)
    expect(findings(directory)).toMatchObject([
      { kind: 'batches', topic: 't', partition: 0, position: 64, positionTo: 64 + 120, offset: 0, offsetTo: 1 },
    ])
    expect(findings(directory)[0].advice).toMatch(/--repair skip/)
  })

  it('counts what is whole, changes nothing, and takes unsealed segments, reserves and what crashes leave for sound', () => {
    const { directory, partition } = logOf()
    fs.rmSync(path.join(partition, indexFileName(2)))
    fs.writeFileSync(path.join(partition, `${indexFileName(2)}.tmp`), 'half')
    fs.appendFileSync(path.join(partition, segmentFileName(4)), Buffer.alloc(5000))
    const before = fs.readdirSync(partition)
    const report = verify(directory)
    expect(report).toMatchObject({ findings: [], kept: [], partitions: [{ segments: 3, batches: 5, records: 5 }] })
    expect(report.partitions[0].findings).toEqual([])
    expect(fs.readdirSync(partition)).toEqual(before)
  })

  it('takes settings of the version before checksums for sound, and refuses those that anybody changed', () => {
    const { directory } = logOf()
    const file = path.join(directory, 't', 'topic.json')
    const { check: _, ...settings } = JSON.parse(fs.readFileSync(file, 'utf8'))
    fs.writeFileSync(file, `${JSON.stringify(settings, null, 2)}\n`)
    expect(findings(directory)).toEqual([])
    fs.writeFileSync(file, JSON.stringify({ ...settings, check: '0x00000000' }))
    expect(findings(directory)).toMatchObject([{ kind: 'settings', file }])
    refusal('SEGMENT_CORRUPT', () => new TopicStore(nodeFs, directory).get('t'))
    expect(verify(directory, 'skip')).toMatchObject({ kept: [`${file}.damaged-77`], remaining: [] })
    expect(new TopicStore(nodeFs, directory).get('t').segmentBytes).toBe(4096)
    fs.writeFileSync(file, '{')
    expect(verify(directory, 'skip', 78)).toMatchObject({ kept: [], remaining: [{ kind: 'settings' }] })
  })

  it('finds missing, foreign and overlapping segments, and repairs none of the latter', () => {
    const missing = logOf()
    fs.rmSync(path.join(missing.partition, segmentFileName(2)))
    expect(findings(missing.directory).map(({ kind }) => kind)).toEqual(['batches', 'missing'])
    const foreign = logOf()
    fs.copyFileSync(path.join(foreign.partition, segmentFileName(0)), path.join(foreign.partition, segmentFileName(5)))
    const before = fs.readdirSync(foreign.partition)
    expect(verify(foreign.directory, 'cut')).toMatchObject({ kept: [], remaining: [{ kind: 'misplaced' }] })
    expect(fs.readdirSync(foreign.partition)).toEqual(before)
  })

  it('refuses a topic that is not there', () => {
    const { directory } = logOf()
    refusal('UNKNOWN_TOPIC', () => [...verifyLog({ fs: nodeFs, directory, topics: ['nope'], nowMs: 0 })])
  })
})

describe('repair', () => {
  const damages: [string, (log: ReturnType<typeof logOf>) => void, { skip: string; cut: string }][] = [
    [
      'a batch of a sealed segment',
      ({ file }) => file(segmentFileName(0)).flipByte(200),
      { skip: '0 1-2 2 3 4', cut: '0' },
    ],
    [
      'the last batch of a sealed one',
      ({ file }) => file(segmentFileName(2)).cutAt(200),
      { skip: '0 1 2 3-4 4', cut: '0 1 2' },
    ],
    ['a header', ({ file }) => file(segmentFileName(2)).flipByte(9), { skip: '0 1 2 3 4', cut: '0 1' }],
    ['the tail', ({ file }) => file(segmentFileName(4)).flipByte(100), { skip: '0 1 2 3', cut: '0 1 2 3' }],
    ['an index', ({ file }) => file(indexFileName(0)).flipByte(100), { skip: '0 1 2 3 4', cut: '0 1 2 3 4' }],
    [
      'a missing segment',
      ({ partition }) => fs.rmSync(path.join(partition, segmentFileName(2))),
      { skip: '0 1 2-4 4', cut: '0 1' },
    ],
    [
      'two places',
      ({ file }) => {
        file(segmentFileName(0)).flipByte(100)
        file(segmentFileName(2)).flipByte(200)
      },
      { skip: '0-1 1 2 3-4 4', cut: '' },
    ],
  ]

  it.each(damages)('of %s leaves a sound log, and the original beside', (_, damage, expected) => {
    for (const mode of ['skip', 'cut'] as const) {
      const log = logOf()
      damage(log)
      const before = new Map(
        fs.readdirSync(log.partition).map((name) => [name, fs.readFileSync(path.join(log.partition, name))]),
      )
      const report = verify(log.directory, mode)
      expect(report.remaining, mode).toEqual([])
      expect(findings(log.directory), mode).toEqual([])
      const found = values(log.partition)
      const gaps = found.gaps.map((gap) => gap.replace('data-loss ', ''))
      const items = [...found.values, ...gaps].sort(
        (left, right) => Number.parseInt(left, 10) - Number.parseInt(right, 10),
      )
      expect(items.join(' '), mode).toBe(expected[mode])
      // Every byte that was there is still there, under its name or another.
      for (const [name, bytes] of before) {
        const kept = [name, `${name}.damaged-77`].map((file) => path.join(log.partition, file))
        const isKept = kept.some((file) => fs.existsSync(file) && fs.readFileSync(file).equals(bytes))
        expect(isKept, `${mode}: ${name}`).toBe(true)
      }
      expect(report.kept.every((file) => fs.existsSync(file))).toBe(true)
    }
  })
})

describe('dump', () => {
  const types = (items: Iterable<DumpItem>): string[] => Array.from(items, ({ type }) => type)

  it('shows header, batches, records and end of a segment, an index, and gaps', () => {
    const { partition, file } = logOf()
    const items = [...dumpSegment(nodeFs, path.join(partition, segmentFileName(2)))]
    expect(items.map(({ type }) => type)).toEqual(['segment', 'batch', 'record', 'batch', 'record', 'end'])
    expect(items[2]).toMatchObject({ offset: 2, value: new TextEncoder().encode('2'), key: null })
    expect(items.at(-1)).toMatchObject({ batches: 2, records: 2, offset: 4 })
    expect(types(dumpIndex(nodeFs, path.join(partition, indexFileName(2))))).toEqual(['index', 'entry'])
    file(segmentFileName(4)).zeroFrom(64 + 20, 64 + 40)
    append(openPartition(partition, { recovery: 'skip' }), 'x')
    file(segmentFileName(2)).flipByte(100)
    verify(path.dirname(path.dirname(partition)), 'skip')
    expect([...dumpGaps(nodeFs, path.join(partition, gapsFileName(2)))]).toMatchObject([
      { type: 'damage', isGivenUp: true, offset: 2, offsetTo: 3 },
    ])
    expect(types(dumpSegment(nodeFs, path.join(partition, segmentFileName(2))))).toEqual([
      ...['segment', 'damage', 'batch', 'record', 'end'],
    ])
  })

  it('goes on behind damage, whichever byte has it, also without a header and under another name', () => {
    const { partition, file } = logOf()
    const segment = file(segmentFileName(2))
    for (let at = 0; at < segment.length; at += 5) {
      segment.flipByte(at)
      const items = [...dumpSegment(nodeFs, segment.path)]
      expect(
        items.filter(({ type }) => type === 'damage'),
        `byte ${at}`,
      ).toHaveLength(1)
      expect(
        items.filter(({ type }) => type === 'batch'),
        `byte ${at}`,
      ).toHaveLength(at < 64 ? 2 : 1)
    }
    segment.flipByte(3)
    const other = path.join(partition, 'copy.bin')
    fs.copyFileSync(segment.path, other)
    expect(types(dumpSegment(nodeFs, other)).filter((type) => type === 'batch')).toHaveLength(2)
    file(indexFileName(2)).flipByte(20)
    expect([...dumpIndex(nodeFs, path.join(partition, indexFileName(2)))]).toMatchObject([{ type: 'damage' }])
  })

  it('shows many batches in order', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    for (let n = 0; n < 200; n++) append(log, `${n}`)
    log.close()
    const offsets: number[] = []
    for (const item of dumpSegment(nodeFs, path.join(directory, segmentFileName(0)))) {
      if (item.type === 'record') offsets.push(item.offset)
    }
    expect(offsets).toEqual(Array.from({ length: 200 }, (_, offset) => offset))
  })
})
