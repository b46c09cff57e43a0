import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Topic, TopicOptions, Walrus } from '#actors/index.js'
import { type CopiedRecord, expectRefusal, openLog, readAll, temporaryDirectory } from './fixture.js'

const COMPACT: TopicOptions = { codec: 'json', cleanup: 'compact', segmentEntries: 10, durability: 'disk' }

/** Waits for what the reader pool does in the background. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}

const short = (records: CopiedRecord<unknown>[]) => records.map(({ offset, key, value }) => `${offset}:${key}=${value}`)

/** 95 records of five keys; the last of each of the sealed segments' is at 85 to 89, and 90 on are open. */
async function filled(walrus: Walrus, options: TopicOptions = {}): Promise<Topic<number>> {
  const topic = await walrus.topic<number>('t', { ...COMPACT, ...options })
  await using producer = topic.producer()
  for (let n = 0; n < 95; n++) await producer.append(n, { key: `k${n % 5}` })
  return topic
}

/** What is left of a log of `filled`: all of the newest sealed segment and the open one. */
const LEFT = Array.from({ length: 15 }, (_none, index) => `${80 + index}:k${index % 5}=${80 + index}`)

describe('compaction by key', () => {
  test('takes older records of each key away in the background; offsets stay, and readers meet no gap', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus)
    const follower = topic.read({ follow: true, signal: AbortSignal.timeout(60_000) })
    await follower.next()
    await until(async () => (await readAll(topic)).length < 80)
    const records = await readAll(topic)
    expect(short(records).slice(-15)).toEqual(LEFT)
    expect(records.every(({ offset, value }) => offset === value)).toBe(true)
    expect((await topic.stats()).partitions[0]).toMatchObject({ first: 0, next: 95 })
    expect((await readAll(topic, { from: 3 }))[0].offset).toBe(records[0].offset)
    expect((await readAll(topic, { from: new Date(0) })).length).toBe(records.length)
    await follower.return()
    await walrus.close()
    const again = await openLog(directory)
    expect(short(await readAll(await again.topic<number>('t'))).slice(-15)).toEqual(LEFT)
  })

  test('reaches a topic that was not compacted before, together with compression', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, { cleanup: 'delete' })
    expect(await readAll(topic)).toHaveLength(95)
    await walrus.topic('t', { cleanup: 'compact', compression: 'zstd' })
    await until(async () => (await readAll(topic)).length === 15)
    const header = (name: string) => fs.readFileSync(path.join(directory, 'default/t/0', name)).readUInt32LE(4)
    const sealed = fs.readdirSync(path.join(directory, 'default/t/0')).filter((name) => name.endsWith('.log'))
    await until(() => sealed.slice(0, 8).every((name) => header(name) === 2))
    expect(short(await readAll(topic))).toEqual(LEFT)
  })

  test('with null for a value a key is deleted, and the tombstone goes when its grace is over', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { ...COMPACT, cleanup: 'delete', segmentEntries: 3 })
    await using producer = topic.producer()
    await producer.append('1', { key: 'a' })
    await producer.append('1', { key: 'b' })
    await producer.append(null, { key: 'a' })
    await producer.appendBatch([null, null], { key: 'c' })
    const [, , tombstone] = await readAll(topic)
    expect([tombstone.key, tombstone.value]).toEqual(['a', null])
    for (let n = 0; n < 8; n++) await producer.append(`${n}`, { key: `x${n}` })
    await walrus.topic('t', { cleanup: 'compact', deleteGraceMs: 0 })
    await until(async () => (await readAll(topic))[0].offset === 1)
    await until(async () => !(await readAll(topic)).some(({ key }) => key === 'c'))
    expect(short(await readAll(topic)).slice(0, 2)).toEqual(['1:b=1', '5:x0=0'])
  })

  test('without a key, null is a value like any other, or none where the codec has none', async () => {
    const walrus = await openLog()
    const json = await walrus.topic<unknown>('json', { codec: 'json' })
    await using producer = json.producer()
    await producer.append(null)
    expect((await readAll(json))[0].value).toBe(null)
    const bytes = await walrus.topic<Uint8Array>('bytes')
    await using other = bytes.producer()
    await expectRefusal(() => other.append(null), 'INVALID_ARGUMENT')
    await other.append(null, { key: 'k' })
    other.send(null, { key: 'k' })
    await other.flush()
    expect((await readAll(bytes)).map(({ value }) => value)).toEqual([null, null])
  })

  test('beside a consumer skips what is gone, without a word and without a repetition', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, { cleanup: 'delete' })
    await using consumer = topic.consumer('g', { checkpoint: { every: 5 }, follow: false })
    const seen: number[] = []
    for (let n = 0; n < 12; n++) seen.push((await consumer.read(1))[0].offset)
    await walrus.topic('t', { cleanup: 'compact' })
    await until(async () => (await readAll(topic)).length === 15)
    for await (const { offset } of consumer) seen.push(offset)
    expect(seen).toEqual([...new Set(seen)].sort((left, right) => left - right))
    expect(seen.slice(-15)).toEqual(Array.from({ length: 15 }, (_none, index) => 80 + index))
    expect(await consumer.lag()).toBe(0)
  })

  test('leaves records of larger batches where they are, for readers and consumers of every kind', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<number>('t', { ...COMPACT, cleanup: 'delete', segmentEntries: 40 })
    await using producer = topic.producer()
    // In every ten records one has a key of its own, the fifth or the last.
    const isSingle = (n: number): boolean => n % 10 === (n % 20 < 10 ? 4 : 9)
    for (let n = 0; n < 300; n += 10) {
      for (let m = n; m < n + 10; m++)
        producer.send(m, { key: isSingle(m) ? `single ${m}` : `shared ${m % 10}`, timestamp: m })
      await producer.flush()
    }
    // When all is there, so that one pass looks at all of it.
    await walrus.topic('t', { cleanup: 'compact' })
    const [{ first }] = (await topic.stats()).partitions
    const expected = Array.from({ length: 300 }, (_none, n) => n).filter((n) => n >= 240 || isSingle(n))
    await until(async () => (await readAll(topic)).length === expected.length)
    const offsets = (records: { offset: number }[]) => records.map(({ offset }) => offset)
    const records = await readAll(topic)
    expect([first, offsets(records)]).toEqual([0, expected])
    expect(records.map(({ value, timestamp }) => [value, timestamp])).toEqual(expected.map((n) => [n, n]))
    for (const from of [3, 4, 5, 19, 20, 100, 239]) {
      expect(offsets(await readAll(topic, { from }))).toEqual(expected.filter((n) => n >= from))
      expect(offsets(await readAll(topic, { from: new Date(from) }))).toEqual(expected.filter((n) => n >= from))
    }
    await using consumer = topic.consumer('g', { checkpoint: { every: 10 }, follow: false })
    expect(offsets(await consumer.peek(7))).toEqual(expected.slice(0, 7))
    const seen: number[] = []
    for (let some = await consumer.read(7); some.length > 0; some = await consumer.read(7)) seen.push(...offsets(some))
    expect(seen).toEqual(expected)
    await consumer.seek(150)
    expect(offsets(await consumer.read(3))).toEqual(expected.filter((n) => n >= 150).slice(0, 3))
  })

  test('settings that cannot be are refused by name', async () => {
    const walrus = await openLog()
    const wrong = (options: object) => walrus.topic('t', options as TopicOptions)
    await expectRefusal(wrong({ cleanup: 'wipe' }), 'INVALID_ARGUMENT', { field: 'cleanup' })
    await expectRefusal(wrong({ deleteGraceMs: -1 }), 'INVALID_ARGUMENT', { field: 'deleteGraceMs' })
  })
})
