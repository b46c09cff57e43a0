import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { Walrus, type WalrusHandle } from '#actors/index.js'
import {
  expectRefusal,
  openFilesBelow,
  openLog,
  randomOf,
  readAll,
  readValues,
  TestThread,
  temporaryDirectory,
} from './fixture.js'

const THREADS = 3

describe('threads that are attached to a log', () => {
  test('send, read, follow and make topics at once', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2, segmentBytes: 64 << 10 })
    const threads = Array.from(
      { length: THREADS },
      (_none, name) => new TestThread('attached', { handle: walrus.handle(), name }),
    )
    const jobs = threads.map(async (thread, name) => {
      expect(await thread.ask({ do: 'topics' })).toContain('t')
      expect(
        await thread.ask({ do: 'topic', topic: `own-${name}`, options: { codec: 'json', partitions: 1 } }),
      ).toMatchObject({ codec: 'json' })
      return thread.ask<{ offsets: [number, number][] }>({ do: 'append', topic: 't', count: 2000 })
    })
    const acks = (await Promise.all(jobs)).map(({ offsets }) => offsets)
    const records = await readAll(topic)
    expect(records).toHaveLength(2000 * THREADS)
    for (const [name, offsets] of acks.entries()) {
      const own = records.filter(({ value }) => value.startsWith(`${name}:`))
      expect(own).toHaveLength(2000)
      for (const [index, [partition, offset]] of offsets.entries()) {
        const record = records.find((each) => each.partition === partition && each.offset === offset)
        expect(record?.value).toBe(`${name}:${index * 100}`)
      }
      for (const partition of [0, 1]) {
        const order = own
          .filter((record) => record.partition === partition)
          .map(({ value }) => Number(value.split(':')[1]))
        expect(order).toEqual([...order].sort((left, right) => left - right))
      }
    }
    expect(await threads[0].ask({ do: 'read', topic: 't', count: 2000 * THREADS })).toMatchObject({
      records: 2000 * THREADS,
    })
    expect((await walrus.topics()).map(({ name }) => name)).toEqual(['own-0', 'own-1', 'own-2', 't'])
    for (const thread of threads) thread.post({ do: 'close' })
    expect(await Promise.all(threads.map(({ ended }) => ended))).toEqual([0, 0, 0])
  })

  test('begin nothing from the call of close on, and leave nothing unsettled behind it', async () => {
    const walrus = await openLog()
    await walrus.topic('t', { codec: 'utf8' })
    const attached = await Walrus.attach(walrus.handle())
    const topic = await attached.topic<string>('t')
    // It may be given the record before.
    const told = topic
      .read({ follow: true })
      .next()
      .then(
        () => 'CLOSED',
        (error) => error.code,
      )
    const named = topic.producer({ producerId: 'n' })
    const append = named.append('sent before')
    const closing = attached.close()
    for (const begin of [
      () => topic.producer(),
      () => topic.consumer('g'),
      () => topic.read(),
      () => topic.stats(),
      () => topic.trim({ before: 'end' }),
      () => attached.topic('t'),
      () => named.append('sent after'),
    ])
      await expect((async () => begin())()).rejects.toMatchObject({ code: 'CLOSED' })
    await closing
    expect(await append).toMatchObject({ offset: 0 })
    expect(await told).toBe('CLOSED')
    await walrus.close()
  })

  test('no longer follow when they are closed, though nothing is ever appended', async () => {
    const walrus = await openLog()
    await walrus.topic('t', { codec: 'utf8' })
    const attached = await Walrus.attach(walrus.handle())
    const following = (await attached.topic<string>('t')).read({ follow: true }).next()
    await Promise.all([expect(following).rejects.toMatchObject({ code: 'CLOSED' }), attached.close()])
    await walrus.close()
  })

  test('get the errors of the log with their codes and fields', async () => {
    const walrus = await openLog()
    await walrus.topic('t', { codec: 'utf8', partitions: 2 })
    const thread = new TestThread('attached', { handle: walrus.handle(), name: 0 })
    const refused = (message: object): Promise<unknown> => thread.ask(message)
    expect(await refused({ do: 'topic', topic: 't', options: { partitions: 3 } })).toMatchObject({
      error: { code: 'TOPIC_MISMATCH', field: 'partitions', isWalrusError: true },
    })
    expect(await refused({ do: 'topic', topic: 'a/b' })).toMatchObject({
      error: { code: 'INVALID_ARGUMENT', field: 'topic' },
    })
    expect(await refused({ do: 'topic', topic: 't', options: { colour: 1 } })).toMatchObject({
      error: { code: 'INVALID_ARGUMENT', field: 'colour' },
    })
    expect(await refused({ do: 'delete', topic: 'none' })).toMatchObject({
      error: { code: 'UNKNOWN_TOPIC', isWalrusError: true },
    })
    expect(await refused({ do: 'stats' })).toMatchObject({ error: { code: 'INVALID_ARGUMENT', field: 'thread' } })
    expect(await refused({ do: 'read', topic: 't', options: { from: 7 } })).toMatchObject({
      error: { code: 'OFFSET_OUT_OF_RANGE', first: 0, next: 0 },
    })
    await walrus.close()
    expect(await refused({ do: 'topics' })).toMatchObject({ error: { code: 'CLOSED' } })
    expect(await refused({ do: 'append', topic: 't', count: 1 })).toMatchObject({ error: { code: 'CLOSED' } })
  })

  test('may end without close: what they sent is there, and the others go on', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    // Together they take more places than there are for threads, so that those of ended ones have to be given back.
    const names = [0, 1, 2, 3]
    for (const name of names) {
      expect(await new TestThread('attached', { handle: walrus.handle(), name, forgets: 50 }).ended).toBe(0)
    }
    await topic.producer().append('last')
    const values = await readValues(topic)
    expect(values.slice(0, -1).sort()).toEqual(names.map((name) => `${name}:0`).sort())
    expect(values.at(-1)).toBe('last')
  })

  test('may be terminated in the middle of sending: nothing is torn, and the others go on', async () => {
    const random = randomOf('terminate attached')
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 256 << 10 })
    const own = topic.producer()
    let ownCount = 0
    for (let round = 0; round < 8; round++) {
      const thread = new TestThread('attached', { handle: walrus.handle(), name: round })
      thread.post({ do: 'send forever', topic: 't' })
      expect(await thread.next()).toBe('sending')
      for (let turn = Math.floor(random() * 40); turn >= 0; turn--) await own.append(`own:${ownCount++}`)
      await thread.worker.terminate()
    }
    await own.append(`own:${ownCount++}`)
    const reopened = walrus.close().then(() => openLog(directory))
    const values = await readValues(await (await reopened).topic<string>('t'))
    const next = new Map<string, number>()
    for (const value of values) {
      const [name, index] = value.split(':')
      expect([name, Number(index)]).toEqual([name, next.get(name) ?? 0])
      next.set(name, Number(index) + 1)
    }
    expect(next.get('own')).toBe(ownCount)
    expect(next.size).toBeGreaterThan(2)
  })

  test('hear of it when the log is closed while they send and follow, and end', async () => {
    const walrus = await openLog()
    await walrus.topic('t', { codec: 'utf8' })
    const threads = ['send until closed', 'follow'].map((job, name) => {
      const thread = new TestThread('attached', { handle: walrus.handle(), name })
      thread.post({ do: job, topic: 't' })
      return thread
    })
    for (const thread of threads) expect(await thread.next()).toMatch(/sending|following/)
    await walrus.close()
    for (const thread of threads) expect(await thread.next()).toMatchObject({ error: { code: 'CLOSED' } })
    for (const thread of threads) thread.post({ do: 'close' })
    expect(await Promise.all(threads.map(({ ended }) => ended))).toEqual([0, 0])
  })

  test('may leave with a call under way, whose answer then harms nobody', async () => {
    const walrus = await openLog()
    const handle = walrus.handle()
    for (let round = 0; round < 20; round++) {
      const attached = await Walrus.attach(handle)
      const calls = [attached.topics(), attached.topic(`t${round % 3}`, { codec: 'utf8' })]
      await attached.close()
      expect((await Promise.allSettled(calls)).map(({ status }) => status)).toHaveLength(2)
      const topic = await walrus.topic<string>('t', { codec: 'utf8' })
      await using producer = topic.producer()
      await producer.append(String(round))
    }
    expect(await readValues(await walrus.topic<string>('t'))).toEqual(
      Array.from({ length: 20 }, (_none, round) => String(round)),
    )
  })
})

test('the main thread attaches to a log that a worker has opened', async () => {
  const directory = temporaryDirectory()
  const thread = new TestThread('attached', { directory })
  const handle = await thread.next<WalrusHandle>()
  const attached = await Walrus.attach(handle)
  const topic = await attached.topic<string>('t', { codec: 'utf8', partitions: 2 })
  const producer = topic.producer()
  await producer.appendBatch(['a', 'b'], { key: 'k' })
  producer.send('c', { key: 'k' })
  await producer.flush()
  expect((await readAll(topic)).map(({ value }) => value)).toEqual(['a', 'b', 'c'])
  expect(await topic.stats()).toMatchObject({ records: 3 })
  await attached.close()
  expect(await thread.ask({ do: 'read', topic: 't', count: 3 })).toMatchObject({ records: 3 })
  const again = await Walrus.attach(handle)
  thread.post({ do: 'close' })
  await once(thread.worker, 'exit')
  await expectRefusal(again.topics(), 'CLOSED')
  await again.close()
  await expectRefusal(Walrus.attach(handle), 'CLOSED')
  expect(openFilesBelow(directory) ?? []).toEqual([])
})

test('attach refuses what is no handle', async () => {
  for (const handle of [undefined, null, {}, { kind: 'walrus-handle' }, { kind: 'other' }]) {
    await expectRefusal(Walrus.attach(handle as WalrusHandle), 'INVALID_ARGUMENT', { field: 'handle' })
  }
})
