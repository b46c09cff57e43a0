import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type OpenOptions, type ProducerOptions, type ReadOptions, type TopicOptions, Walrus } from '#actors/index.js'
import {
  errorOf,
  expectRefusal,
  openFilesBelow,
  openLog,
  readAll,
  readValues,
  runProcess,
  temporaryDirectory,
} from './fixture.js'

describe('a log', () => {
  test('gives back after reopening what was appended, in order and at consecutive offsets', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const producer = (await walrus.topic<string>('trips', { codec: 'utf8' })).producer()
    const acks = await Promise.all(['a', 'b', 'c'].map((value) => producer.append(value)))
    expect(acks).toMatchObject([0, 1, 2].map((offset) => ({ partition: 0, offset })))
    await walrus.close()
    const again = await openLog(directory)
    const topic = await again.topic<string>('trips')
    expect(topic.config.codec).toBe('utf8')
    expect(await readValues(topic)).toEqual(['a', 'b', 'c'])
    expect(await topic.producer().append('d')).toMatchObject({ offset: 3 })
  })

  test('is disposed of by await using', async () => {
    const directory = temporaryDirectory()
    {
      await using walrus = await Walrus.open(directory, { durability: 'os' })
      await using producer = (await walrus.topic<string>('t', { codec: 'utf8' })).producer()
      producer.send('sent, not awaited')
    }
    expect(await readValues(await (await openLog(directory)).topic<string>('t'))).toEqual(['sent, not awaited'])
  })

  test('lists its topics, forgets a deleted one, and knows nothing of its records afterwards', async () => {
    const walrus = await openLog()
    for (const name of ['b', 'a', 'c.d-e_f']) await walrus.topic(name, { partitions: 2 })
    expect((await walrus.topics()).map(({ name }) => name)).toEqual(['a', 'b', 'c.d-e_f'])
    const topic = await walrus.topic<Uint8Array>('a')
    await topic.producer().append(Buffer.from('old'))
    await walrus.deleteTopic('a')
    expect((await walrus.topics()).map(({ name }) => name)).toEqual(['b', 'c.d-e_f'])
    await expectRefusal(walrus.deleteTopic('a'), 'UNKNOWN_TOPIC')
    await expectRefusal(topic.stats(), 'UNKNOWN_TOPIC')
    expect((await walrus.topics()).map(({ name }) => name)).toEqual(['b', 'c.d-e_f'])
  })

  test('does not read records of a deleted topic out of a new one of its name', async () => {
    const walrus = await openLog()
    const old = await walrus.topic<string>('t', { codec: 'utf8' })
    await old.producer().appendBatch(['old 0', 'old 1'])
    expect(await readValues(old)).toHaveLength(2)
    await walrus.deleteTopic('t')
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    await topic.producer().appendBatch(['new 0', 'new 1'])
    expect(await readValues(topic)).toEqual(['new 0', 'new 1'])
  })

  test('refuses what is sent to a deleted topic, and says so', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = topic.producer()
    await producer.append('before')
    await walrus.deleteTopic('t')
    await expectRefusal(producer.append('behind'), 'UNKNOWN_TOPIC')
    producer.send('lost')
    await expectRefusal(producer.flush(), 'UNKNOWN_TOPIC', { unacknowledged: 2 })
    await walrus.topic('t', { codec: 'utf8' })
    await expectRefusal(producer.append('not for the new one'), 'UNKNOWN_TOPIC')
    expect(await readAll(await walrus.topic('t'))).toEqual([])
  })

  test('says how much a topic holds', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2, segmentBytes: 4096 })
    const producer = topic.producer({ partition: 1 })
    for (let index = 0; index < 10; index++) await producer.append('x'.repeat(1000))
    const stats = await topic.stats()
    expect(stats).toMatchObject({
      topic: 't',
      records: 10,
      partitions: [
        { first: 0, next: 0, records: 0 },
        { first: 0, next: 10, records: 10 },
      ],
    })
    expect(stats.partitions[1].segments).toBeGreaterThan(2)
    expect(stats.bytes).toBeGreaterThan(10_000)
    const { records, bytes, writers, ackLatencyMs } = walrus.stats()
    expect(records).toBe(10)
    expect(bytes).toBeGreaterThan(10_000)
    expect(writers.flatMap(({ partitions }) => partitions).sort()).toEqual(['t/0', 't/1'])
    expect(ackLatencyMs.p50).toBeGreaterThan(0)
  })

  test('keeps namespaces apart, each with a lock of its own', async () => {
    const directory = temporaryDirectory()
    const one = await openLog(directory, { namespace: 'one' })
    const two = await openLog(directory, { namespace: 'two' })
    await one.topic('t', { partitions: 3 })
    expect(await two.topics()).toEqual([])
  })

  test('is held against a second opener in the same process and in another', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    await expectRefusal(Walrus.open(directory), 'LOCKED', { pid: process.pid })
    const { messages } = await runProcess('open-once', { directory })
    expect(messages).toEqual([{ code: 'LOCKED', pid: process.pid }])
    await walrus.close()
    expect((await runProcess('open-once', { directory })).messages).toEqual(['opened'])
    await (await openLog(directory)).close()
    expect(openFilesBelow(directory) ?? []).toEqual([])
  })
})

describe('names and options', () => {
  test('a name that is no safe directory name is refused', async () => {
    const walrus = await openLog()
    for (const name of ['', '.', '..', 'a/b', '../a', 'a b', '-a', '.a', 'a.', 'ä', 'a\0', 'x'.repeat(201)]) {
      await expectRefusal(walrus.topic(name), 'INVALID_ARGUMENT', { field: 'topic' })
      const opening = Walrus.open(path.dirname(walrus.directory), { namespace: name })
      await expectRefusal(opening, 'INVALID_ARGUMENT', { field: 'namespace' })
    }
    expect(fs.readdirSync(walrus.directory)).toEqual(['LOCK', 'watermarks'])
  })

  test.each([
    [{ durabilty: 'os' }, 'durabilty'],
    [{ durability: 'sync' }, 'durability'],
    [{ durability: { everyMs: 0 } }, 'durability'],
    [{ writerThreadsMax: 0 }, 'writerThreadsMax'],
    [{ laneBytesMax: 1 }, 'laneBytesMax'],
    [{ recovery: 'hope' }, 'recovery'],
  ])('open refuses %j by name', async (options, field) => {
    const error = await errorOf(Walrus.open(temporaryDirectory(), options as OpenOptions))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(error.field).toMatch(new RegExp(`^${field}`))
  })

  test('topic refuses by name what it does not know and what cannot be', async () => {
    const walrus = await openLog()
    const wrong: [object, string][] = [
      [{ partition: 2 }, 'partition'],
      [{ partitions: 0 }, 'partitions'],
      [{ partitions: 1.5 }, 'partitions'],
      [{ codec: 'xml' }, 'codec'],
      [{ segmentBytes: 1 }, 'segmentBytes'],
      [{ segmentEntries: 0 }, 'segmentEntries'],
    ]
    for (const [options, field] of wrong) {
      await expectRefusal(walrus.topic('t', options as TopicOptions), 'INVALID_ARGUMENT', { field })
    }
    expect(await walrus.topics()).toEqual([])
  })

  test('producer and read refuse by name what they do not know', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
    for (const options of [{ partition: 2 }, { partition: -1 }]) {
      await expectRefusal(() => topic.producer(options), 'INVALID_ARGUMENT', { field: 'partition' })
      await expectRefusal(readAll(topic, options), 'INVALID_ARGUMENT', { field: 'partition' })
    }
    await expectRefusal(() => topic.producer({ acks: 1 } as ProducerOptions), 'INVALID_ARGUMENT', { field: 'acks' })
    await expectRefusal(async () => readAll(topic, { form: 'end' } as ReadOptions), 'INVALID_ARGUMENT', {
      field: 'form',
    })
    const durability = 'disc' as 'disk'
    await expectRefusal(topic.producer().append('x', { durability }), 'INVALID_ARGUMENT', { field: 'durability' })
  })

  test('an existing topic refuses other partitions and another codec, and keeps what is not named', async () => {
    const walrus = await openLog()
    await walrus.topic('t', { partitions: 2, codec: 'json', segmentBytes: 8192, durability: 'none' })
    await expectRefusal(walrus.topic('t', { partitions: 3 }), 'TOPIC_MISMATCH', { field: 'partitions' })
    await expectRefusal(walrus.topic('t', { codec: 'utf8' }), 'TOPIC_MISMATCH', { field: 'codec' })
    expect((await walrus.topic('t')).config).toMatchObject({
      partitions: 2,
      codec: 'json',
      segmentBytes: 8192,
      durability: 'none',
    })
  })
})

test('after close, every method rejects with CLOSED', async () => {
  const walrus = await openLog()
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  const producer = topic.producer()
  const idle = topic.producer()
  await producer.append('x')
  const handle = walrus.handle()
  await walrus.close()
  await walrus.close()
  await expectRefusal(walrus.topic('t'), 'CLOSED')
  await expectRefusal(walrus.topics(), 'CLOSED')
  await expectRefusal(walrus.deleteTopic('t'), 'CLOSED')
  await expectRefusal(() => walrus.handle(), 'CLOSED')
  await expectRefusal(Walrus.attach(handle), 'CLOSED')
  await expectRefusal(() => topic.producer(), 'CLOSED')
  await expectRefusal(async () => topic.stats(), 'CLOSED')
  await expectRefusal(async () => readAll(topic), 'CLOSED')
  for (const closed of [producer, idle]) {
    await expectRefusal(() => closed.send('x'), 'CLOSED')
    await expectRefusal(closed.append('x'), 'CLOSED')
    await expectRefusal(closed.appendBatch(['x']), 'CLOSED')
    await expectRefusal(closed.ready(), 'CLOSED')
    await expectRefusal(closed.flush(), 'CLOSED')
    await closed.close()
  }
})
