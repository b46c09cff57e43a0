import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type BackupReport, backupLog } from '#core/backup/backup-log.js'
import { encodeBatch } from '#core/format/batch-encoder.js'
import { loadRegistry, registerProducer } from '#core/log/producer-registry.js'
import { writeState } from '#core/log/state-file.js'
import { TopicStore } from '#core/log/topic-store.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { verifyLog } from '#core/verify/verify-log.js'
import { appendKeyed, compact } from '../support/keyed.js'
import { append, openPartition, readValues, refusal, reopenedValues } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem } from '../support/traced-file-system.js'

const disk = new NodeFileSystem()
const SMALL = { segmentBytes: 4096 }
const LONG = 'x'.repeat(1500)

/** A namespace's directory with a topic of one partition; another one for the copy. */
function places(name = 't'): { directory: string; target: string; partition: string; copy: string } {
  const root = temporaryDirectory()
  const [directory, target] = ['log', 'copy'].map((place) => path.join(root, place))
  for (const place of [directory, target]) fs.mkdirSync(place)
  new TopicStore(disk, directory).open(name, {}, { durability: 'os' }, 1)
  const [partition, copy] = [directory, target].map((place) => path.join(place, name, '0'))
  return { directory, target, partition, copy }
}

function backup(directory: string, target: string, steps = Number.POSITIVE_INFINITY): BackupReport | undefined {
  const running = backupLog({ fs: disk, directory, target, verify: true, nowMs: 1 })
  for (let step = 0; step < steps; step++) {
    const next = running.next()
    if (next.done) return next.value
  }
  running.return({} as BackupReport)
  return undefined
}

/** Appends one record a batch, all of which is acknowledged as far as anybody can tell. */
function fill(partition: string, values: readonly string[]): void {
  const log = openPartition(partition, SMALL)
  for (const value of values) append(log, value)
  log.close()
}

const findings = (directory: string) =>
  [...verifyLog({ fs: disk, directory, nowMs: 1 })].flatMap((report) => [
    ...report.findings,
    ...report.partitions.flatMap((partition) => partition.findings),
  ])

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index} ${LONG}`)

describe('a backup', () => {
  test('is of one generation of each segment, whenever compaction comes between', () => {
    for (let step = 1, isOver = false; !isOver; step++) {
      const { directory, target, partition } = places()
      const log = openPartition(partition, { segmentEntries: 4 })
      for (let count = 0; count < 16; count++) appendKeyed(log, [{ key: `k${count % 3}`, value: `${count}` }])
      const running = backupLog({ fs: disk, directory, target, verify: true, nowMs: 1 })
      for (let done = 0; done < step && !isOver; done++) isOver = running.next().done === true
      compact(partition, log)
      while (running.next().done !== true);
      expect(findings(target)).toEqual([])
      expect(backup(directory, target)).toMatchObject({ records: 16 })
      expect(findings(target)).toEqual([])
      log.close()
    }
  })

  test('that ends at any point of taking in another generation is whole, and goes on', () => {
    for (let steps = 1, isOver = false; !isOver; steps++) {
      const { directory, target, partition, copy } = places()
      const log = openPartition(partition, { segmentEntries: 4 })
      for (let count = 0; count < 16; count++) appendKeyed(log, [{ key: `k${count % 3}`, value: `${count}` }])
      backup(directory, target)
      compact(partition, log)
      log.close()
      const { fs: dying, hasDied } = dyingFileSystem(steps)
      try {
        const running = backupLog({ fs: dying, directory, target, verify: true, nowMs: 1 })
        while (running.next().done !== true);
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      isOver = !hasDied()
      openPartition(copy, { segmentEntries: 4 }).abandon()
      expect(backup(directory, target)).toMatchObject({ records: 16 })
      expect(findings(target)).toEqual([])
    }
  })

  test('is a log with the same records, and the next one copies only what is new', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, numbered(0, 10))
    expect(backup(directory, target)).toMatchObject({ topics: 1, partitions: 1, records: 10, kept: 0 })
    expect(findings(target)).toEqual([])
    expect(backup(directory, target)).toMatchObject({ copied: 0, bytes: 0 })
    fill(partition, numbered(10, 14))
    const next = backup(directory, target)!
    expect(next.kept).toBeGreaterThan(2)
    expect(next.copied).toBeLessThan(4)
    expect(findings(target)).toEqual([])
    expect(reopenedValues(copy, SMALL)).toEqual(numbered(0, 14))
  })

  test('that is stopped anywhere leaves a log that opens, and the next one goes on from there', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, numbered(0, 5))
    expect(backup(directory, target)).toBeDefined()
    fill(partition, numbered(5, 12))
    for (let steps = 1; ; steps++) {
      const place = `${target}-${steps}`
      fs.cpSync(target, place, { recursive: true })
      const isDone = backup(directory, place, steps) !== undefined
      const image = `${place}-image`
      fs.cpSync(place, image, { recursive: true })
      const values = reopenedValues(path.join(image, 't/0'), SMALL)
      expect(values.length).toBeGreaterThanOrEqual(5)
      expect(values).toEqual(numbered(0, values.length))
      backup(directory, place)
      expect(reopenedValues(path.join(place, 't/0'), SMALL)).toEqual(numbered(0, 12))
      if (isDone) break
    }
    expect(fs.existsSync(copy)).toBe(true)
  })

  test('forgets what the log has forgotten, also where the two have no record in common any more', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, numbered(0, 6))
    backup(directory, target)
    fill(partition, numbered(6, 12))
    writeState(disk, partition, { offsetFirst: 4 })
    openPartition(partition, SMALL).close()
    backup(directory, target)
    const log = openPartition(copy, SMALL)
    expect(log.offsetFirst).toBe(4)
    expect(readValues(copy, log)).toEqual(numbered(4, 12))
    log.close()
    fill(partition, numbered(12, 24))
    writeState(disk, partition, { offsetFirst: 20 })
    openPartition(partition, SMALL).close()
    for (let steps = 1; ; steps++) {
      const place = `${target}-${steps}`
      fs.cpSync(target, place, { recursive: true })
      const isDone = backup(directory, place, steps) !== undefined
      expect(findings(place)).toEqual([])
      const log = openPartition(path.join(place, 't/0'), SMALL)
      expect(readValues(path.join(place, 't/0'), log)).toEqual(numbered(log.offsetFirst, log.offsetNext))
      log.close()
      if (isDone) {
        expect([log.offsetFirst, log.offsetNext]).toEqual([20, 24])
        break
      }
    }
  })

  test('holds no name back that has written, and says of none that it began later than its copy ends', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, ['a', 'b'])
    const { producer } = registerProducer(disk, path.join(directory, 't'), 'orders', [2])
    const log = openPartition(partition, { ...SMALL, producersSince: 2 })
    const records = [{ value: new TextEncoder().encode('c') }]
    const origin = { producerId: producer.id, producerEpoch: producer.epoch, sequenceFirst: 0, timestampMs: 1 }
    log.appendBatch(encodeBatch(records, origin).region, 0)
    log.close()
    backup(directory, target)
    const registry = loadRegistry(disk, path.join(target, 't'))!
    expect(registry.since).toEqual([2])
    const restored = openPartition(copy, { ...SMALL, producersSince: registry.since[0] ?? undefined })
    expect(restored.producers.lastSequence(producer.id)).toBe(0)
    restored.close()
  })

  test('takes nothing that it is not the past of', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, ['a'])
    fs.mkdirSync(copy, { recursive: true })
    fill(copy, ['z'])
    expect(refusal('INVALID_ARGUMENT', () => backup(directory, target)).field).toBe('target')
    expect(reopenedValues(copy, SMALL)).toEqual(['z'])
  })

  test('of a topic that was deleted and made again is of the one that is there', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, ['old', 'older'])
    backup(directory, target)
    const store = new TopicStore(disk, directory)
    store.delete('t', 2)
    store.open('t', {}, { durability: 'os' }, 3)
    fill(partition, ['new'])
    backup(directory, target)
    expect(reopenedValues(copy, SMALL)).toEqual(['new'])
    expect(fs.readdirSync(target)).toEqual(['t'])
  })

  test('does not take damage for records', () => {
    const { directory, target, partition, copy } = places()
    fill(partition, ['a'])
    backup(directory, target)
    fill(partition, numbered(1, 10))
    const file = path.join(partition, fs.readdirSync(partition).find((name) => name.endsWith('.log'))!)
    const bytes = fs.readFileSync(file)
    bytes[300] ^= 1
    fs.writeFileSync(file, bytes)
    refusal('SEGMENT_CORRUPT', () => backup(directory, target))
    expect(findings(target)).toEqual([])
    expect(reopenedValues(copy)).toEqual(['a'])
  })
})
