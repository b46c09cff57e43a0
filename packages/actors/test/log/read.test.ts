import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Topic, Walrus } from '#actors/index.js'
import {
  errorOf,
  expectRefusal,
  openFilesBelow,
  openLog,
  readAll,
  sendAll,
  TestThread,
  temporaryDirectory,
} from './fixture.js'

async function topicWith(walrus: Walrus, count: number, options = {}): Promise<Topic<string>> {
  const topic = await walrus.topic<string>('t', { codec: 'utf8', ...options })
  const producer = topic.producer()
  await sendAll(
    producer,
    Array.from({ length: count }, (_none, index) => String(index)),
  )
  await producer.close()
  return topic
}

const offsets = (records: { offset: number }[]): number[] => records.map(({ offset }) => offset)
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_none, index) => from + index)

describe('a read', () => {
  test('begins where it is told to, also far inside a segment and across segments', async () => {
    for (const segmentBytes of [8192, 64 << 20]) {
      const walrus = await openLog()
      const topic = await topicWith(walrus, 0, { segmentBytes })
      const producer = topic.producer()
      // More than one window of the reader, so that whole windows lie before the place to begin at.
      const count = segmentBytes < 10_000 ? 400 : 4000
      for (let index = 0; index < count; index++)
        await sendAll(producer, [`${index}`.padEnd(segmentBytes < 10_000 ? 100 : 1000, '.')])
      await producer.flush()
      for (const from of [0, 1, 7, 99, count - 1500, count - 2, count - 1, count].filter((offset) => offset >= 0)) {
        const read = await readAll(topic, { from })
        expect(offsets(read)).toEqual(range(from, count))
        if (from < count) expect(Number.parseInt(read[0].value, 10)).toBe(from)
      }
      expect(offsets(await readAll(topic))).toEqual(range(0, count))
      expect(offsets(await readAll(topic, { from: 'start' }))).toEqual(range(0, count))
      expect(await readAll(topic, { from: 'end' })).toEqual([])
      await expectRefusal(readAll(topic, { from: count + 1 }), 'OFFSET_OUT_OF_RANGE', { first: 0, next: count })
      await walrus.close()
    }
  })

  test('from a time begins with the first record of that time or a later one, and leaves none out behind it', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 32 << 10 })
    const producer = topic.producer()
    // Times go up, but for one record of each ten, which is late.
    const times = range(0, 2000).map((index) => 1_000_000 + index * 10 - (index % 10 === 9 ? 500 : 0))
    for (const [index, timestamp] of times.entries()) {
      while (!producer.send(`${index}`.padEnd(50), { timestamp })) await producer.ready()
    }
    await producer.flush()
    for (const time of [0, 1_000_000, 1_000_005, 1_009_990, 1_010_000, times[1998], times[1998] + 1]) {
      const first = times.findIndex((timestamp) => timestamp >= time)
      const expected = first < 0 ? [] : range(first, times.length)
      expect(offsets(await readAll(topic, { from: new Date(time) }))).toEqual(expected)
    }
  })

  test('gives the records of the call, and none that came later', async () => {
    const walrus = await openLog()
    const topic = await topicWith(walrus, 100)
    const producer = topic.producer()
    const read: number[] = []
    for await (const batch of topic.read()) {
      for (const record of batch) read.push(record.offset)
      await producer.append('later')
    }
    expect(read).toEqual(range(0, 100))
  })

  test('of one partition gives that one; of all, each in its order', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<number>('t', { codec: 'json', partitions: 3 })
    const producer = topic.producer()
    await sendAll(producer, range(0, 3000))
    await producer.flush()
    const all = await readAll(topic)
    expect(all.map(({ value }) => value).sort((left, right) => left - right)).toEqual(range(0, 3000))
    for (const partition of [0, 1, 2]) {
      const one = await readAll(topic, { partition })
      expect(one).toEqual(all.filter((record) => record.partition === partition))
      expect(offsets(one)).toEqual(range(0, one.length))
      expect(one.map(({ value }) => value)).toEqual(one.map(({ value }) => value).sort((left, right) => left - right))
    }
  })

  test('that is left by break or by throw frees its files when the log is closed', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await topicWith(walrus, 50_000, { segmentBytes: 64 << 10 })
    for await (const batch of topic.read()) {
      expect(batch.count).toBeGreaterThan(0)
      break
    }
    const error = await errorOf(
      (async () => {
        for await (const _batch of topic.read({ follow: true })) throw new Error('of the consumer')
      })(),
    )
    expect(error.message).toBe('of the consumer')
    await walrus.close()
    expect(openFilesBelow(directory) ?? []).toEqual([])
  })

  test('tells of damage by file and byte', async () => {
    const walrus = await openLog()
    const topic = await topicWith(walrus, 10)
    const file = path.join(walrus.directory, 't', '0', '00000000000000000000.log')
    const descriptor = fs.openSync(file, 'r+')
    fs.writeSync(descriptor, Buffer.from([0xff]), 0, 1, 64 + 96 + 17)
    fs.closeSync(descriptor)
    await expectRefusal(readAll(topic), 'SEGMENT_CORRUPT', { file, offset: 0 })
  })
})

describe('a following read', () => {
  test('gives what is there, then what comes, and rejects with the reason of its signal', async () => {
    const walrus = await openLog()
    const topic = await topicWith(walrus, 10, { partitions: 2 })
    const producer = topic.producer()
    const abort = new AbortController()
    const reason = new Error('enough')
    const values: string[] = []
    const reading = (async () => {
      for await (const batch of topic.read({ follow: true, signal: abort.signal })) {
        for (const record of batch) values.push(record.value)
        if (values.length === 10) await producer.append('late 0')
        if (values.length === 11) producer.send('late 1')
        if (values.length === 12) setImmediate(() => abort.abort(reason))
      }
    })()
    expect(await errorOf(reading)).toBe(reason)
    expect(values.slice(10)).toEqual(['late 0', 'late 1'])
    await expect(readAll(topic, { follow: true, signal: abort.signal })).rejects.toBe(reason)
    await expect(readAll(topic, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  test('from the end gives only what comes', async () => {
    const walrus = await openLog()
    const topic = await topicWith(walrus, 10)
    const batches = topic.read({ from: 'end', follow: true })
    const next = batches.next()
    await topic.producer().append('new')
    const { value } = await next
    expect([...value!].map((record) => [record.offset, record.value])).toEqual([[10, 'new']])
    await batches.return()
  })

  test('ends with CLOSED when the log is closed under it, and with UNKNOWN_TOPIC when its topic is deleted', async () => {
    const walrus = await openLog()
    const doomed = await walrus.topic<string>('doomed', { codec: 'utf8' })
    await doomed.producer().append('x')
    const abort = new AbortController()
    const batches = doomed.read({ follow: true, signal: abort.signal })
    await batches.next()
    const kept = expectRefusal(readAll(await topicWith(walrus, 1), { follow: true }), 'CLOSED')
    const next = expectRefusal(batches.next(), 'UNKNOWN_TOPIC')
    await walrus.deleteTopic('doomed')
    await next
    await expectRefusal(readAll(doomed), 'UNKNOWN_TOPIC')
    await walrus.close()
    await kept
  })

  test('in several threads, while tiny segments are rolled and sealed under load, misses nothing', async () => {
    const walrus = await openLog(undefined, { durability: 'disk' })
    const count = 6000
    const partitions = 2
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions, segmentBytes: 8192 })
    const readers = [false, true, false].map(
      (readAhead) => new TestThread('reader', { handle: walrus.handle(), topic: 't', count, readAhead }),
    )
    await Promise.all(readers.map((reader) => reader.next()))
    const abort = new AbortController()
    const own: [number, number, string][] = []
    // Looked at from the start: the follower may come to its end before the producers come to theirs.
    const ended = errorOf(
      (async () => {
        for await (const batch of topic.read({ follow: true, signal: abort.signal })) {
          for (const { partition, offset, value } of batch) own.push([partition, offset, value])
          if (own.length === count) abort.abort()
        }
      })(),
    )
    const producers = [topic.producer({ partition: 0 }), topic.producer({ partition: 1 }), topic.producer()]
    const sending = producers.map(async (producer, number) => {
      for (let index = 0; index < count / 3; index++) {
        const value = `${number}:${index}`.padEnd(40 + (index % 100), '.')
        if (index % 50 === 0) await producer.append(value)
        else await sendAll(producer, [value])
      }
      await producer.flush()
    })
    await Promise.all(sending)
    expect((await ended).name).toBe('AbortError')
    for (const reader of readers) expect(await reader.next()).toEqual({ records: count, gaps: [] })
    const seen = new Map<string, number>()
    for (const partition of [0, 1]) {
      const records = own.filter(([of]) => of === partition)
      expect(records.map(([, offset]) => offset)).toEqual(range(0, records.length))
      for (const [, , value] of records) {
        const [number, index] = value.split('.')[0].split(':').map(Number)
        expect(index).toBeGreaterThan(seen.get(`${number} ${partition}`) ?? -1)
        seen.set(`${number} ${partition}`, index)
      }
    }
    expect((await topic.stats()).partitions[0].segments).toBeGreaterThan(10)
    await Promise.all(readers.map(({ ended }) => ended))
  })
})
