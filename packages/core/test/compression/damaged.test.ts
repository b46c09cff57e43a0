import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { TopicStore } from '#core/log/topic-store.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { dumpSegment } from '#core/verify/dump.js'
import { verifyLog } from '#core/verify/verify-log.js'
import { compressAll, compressedBases } from '../support/compressed.js'
import { DamagedFile } from '../support/damage.js'
import { appendSynced, openPartition, refusal } from '../support/partition.js'
import { readOver } from '../support/read-over.js'
import { temporaryDirectory } from '../support/temporary.js'

const nodeFs = new NodeFileSystem()
const SEGMENT = 64
const HEADS = 128

/** A log of one topic: segments 0 and 2 of two records each, compressed, and 4 of one, open. */
function logOf(bytes = 300) {
  const directory = temporaryDirectory()
  new TopicStore(nodeFs, directory).open('t', {}, { durability: 'disk' }, 1)
  const partition = path.join(directory, 't', '0')
  const log = openPartition(partition, { segmentEntries: 2, segmentBytes: 64 << 20 })
  const values = Array.from({ length: 5 }, (_, n) => `${n}:${'abcdefgh'.repeat(bytes / 8)}`)
  for (const value of values) appendSynced(log, value)
  log.close()
  expect(compressAll(partition)).toBe(2)
  const file = (base: number) => new DamagedFile(path.join(partition, segmentFileName(base)))
  return { directory, partition, values, file }
}

const findings = (directory: string) =>
  [...verifyLog({ fs: nodeFs, directory, nowMs: 77 })].flatMap((topic) =>
    topic.partitions.flatMap((partition) => partition.findings),
  )

function found(partition: string, recovery: 'strict' | 'tail' | 'skip') {
  const log = openPartition(partition, { recovery, segmentEntries: 2 })
  log.close()
  const { values, gaps } = readOver(partition, log, { skip: recovery === 'skip', regionBytes: 1 << 20 })
  return { values: [...values.values()], gaps }
}

describe('a compressed segment', () => {
  it('is sound for verify, and no bit of it can be turned over unseen', () => {
    const { directory, file } = logOf()
    expect(findings(directory)).toEqual([])
    const damaged = file(0)
    for (let bit = 0; bit < damaged.length * 8; bit++) {
      damaged.flipByte(bit >>> 3, 1 << (bit & 7))
      expect(findings(directory)[0]?.file, `bit ${bit}`).toBe(damaged.path)
    }
    for (const length of [0, 1, HEADS, damaged.length - 1]) {
      damaged.cutAt(length)
      expect(findings(directory)[0]?.file, `cut at ${length}`).toBe(damaged.path)
    }
    damaged.append(Uint8Array.of(0))
    expect(findings(directory)[0]?.file).toBe(damaged.path)
    damaged.restore()
    expect(findings(directory)).toEqual([])
  }, 60_000)

  it('is read in full with either of its headers and either of its block tables', () => {
    const { directory, partition, values, file } = logOf()
    const damaged = file(0)
    const parts = [
      10,
      SEGMENT + 10,
      HEADS + 3,
      damaged.length - 10,
      damaged.length - SEGMENT - 10,
      damaged.length - HEADS - 3,
    ]
    for (const at of parts) {
      damaged.flipByte(at)
      for (const mode of ['strict', 'tail', 'skip'] as const) {
        expect(found(partition, mode), `byte ${at}`).toEqual({ values, gaps: [] })
      }
      expect(findings(directory).map(({ kind }) => kind)).toEqual(['compression'])
    }
    const [report] = verifyLog({ fs: nodeFs, directory, repair: 'cut', nowMs: 77 })
    expect([report.remaining, report.kept]).toEqual([[], [`${damaged.path}.damaged-77`]])
    expect(found(partition, 'strict')).toEqual({ values, gaps: [] })
    expect(compressedBases(partition)).toEqual([2])
  })

  it('shows a reader what is damaged by file and byte of the raw segment, or as a gap', () => {
    const { partition, file, values } = logOf(200_000)
    const damaged = file(0)
    // In the last block: the second record.
    damaged.flipByte(damaged.length - HEADS - 4 * 16 - 40)
    const log = openPartition(partition)
    log.close()
    const error = refusal('SEGMENT_CORRUPT', () => readOver(partition, log, { skip: false, regionBytes: 1 << 20 }))
    expect([error.file, error.offset]).toEqual([damaged.path, 1])
    const { gaps, values: rest } = readOver(partition, log, { regionBytes: 1 << 20 })
    expect([gaps, [...rest.values()]]).toEqual([['data-loss 1-2'], values.filter((_, n) => n !== 1)])
  })

  it('is recovered without its index as a raw one is: gone on with, cut, or read around', () => {
    const { partition, file, values } = logOf(200_000)
    fs.rmSync(path.join(partition, indexFileName(0)))
    expect(found(partition, 'strict')).toEqual({ values, gaps: [] })
    expect([compressedBases(partition), fs.existsSync(path.join(partition, indexFileName(0)))]).toEqual([[0, 2], true])
    const damaged = file(0)
    damaged.flipByte(damaged.length - HEADS - 4 * 16 - 40)
    fs.rmSync(path.join(partition, indexFileName(0)))
    refusal('SEGMENT_CORRUPT', () => openPartition(partition))
    expect(compressedBases(partition)).toEqual([0, 2])
    const copy = temporaryDirectory()
    fs.cpSync(partition, copy, { recursive: true })
    for (let times = 0; times < 2; times++) {
      expect(found(copy, 'skip')).toEqual({ values: values.filter((_, n) => n !== 1), gaps: ['data-loss 1-2'] })
      expect(compressedBases(copy)).toEqual([0, 2])
    }
    for (let times = 0; times < 2; times++) {
      expect(found(partition, 'tail')).toEqual({ values: [values[0]], gaps: [] })
    }
    expect(compressedBases(partition)).toEqual([])
  })

  it('is gone on with raw where it is the last one and has no index', () => {
    const { partition, values } = logOf()
    for (const name of [segmentFileName(4), indexFileName(2)]) fs.rmSync(path.join(partition, name))
    const log = openPartition(partition)
    appendSynced(log, 'more')
    log.close()
    expect(compressedBases(partition)).toEqual([0])
    expect(found(partition, 'strict')).toEqual({ values: [...values.slice(0, 4), 'more'], gaps: [] })
  })

  it('of which neither head is left is refused, and read around with skip', () => {
    const { partition, file, values } = logOf()
    const damaged = file(2)
    damaged.setByte(10, 77)
    const bytes = damaged.bytes
    bytes[bytes.length - 10] ^= 1
    fs.writeFileSync(damaged.path, bytes)
    refusal('SEGMENT_CORRUPT', () => openPartition(partition))
    const rest = values.filter((_, n) => n !== 2 && n !== 3)
    expect(found(partition, 'skip')).toEqual({ values: rest, gaps: ['data-loss 2-4'] })
  })

  it('of an unknown codec is refused by that name, by everyone', () => {
    const { directory, partition, file } = logOf()
    const damaged = file(2)
    const bytes = damaged.bytes
    for (const at of [SEGMENT, bytes.length - HEADS]) {
      bytes.writeUInt32LE(9, at + 4)
      bytes.writeUInt32LE(crc32(bytes.subarray(at, at + 60)), at + 60)
    }
    fs.writeFileSync(damaged.path, bytes)
    for (const recovery of ['strict', 'tail', 'skip'] as const) {
      expect(refusal('FORMAT_VERSION', () => openPartition(partition, { recovery })).message).toMatch(/codec 9/)
    }
    expect(findings(directory).map(({ kind, what }) => [kind, /codec 9/.test(what)])).toEqual([['version', true]])
    expect(fs.readFileSync(damaged.path)).toEqual(bytes)
  })

  it('is dumped as the raw one, and says how it is kept', () => {
    const { file } = logOf()
    const items = [...dumpSegment(nodeFs, file(0).path)]
    expect(items[0]).toMatchObject({ type: 'segment', baseOffset: 0, compression: 'zstd', blocks: 1 })
    expect(items.filter(({ type }) => type === 'record')).toHaveLength(2)
  })
})
