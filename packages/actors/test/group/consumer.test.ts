import { describe, expect, test } from 'vitest'
import { type Consumer, type ConsumerOptions, type Topic, Walrus, type WalrusEvent } from '#actors/index.js'
import { errorOf, expectRefusal, openLog, temporaryDirectory } from '../log/fixture.js'

/** A topic with values '0', '1', … in one partition, or each in partition `index % partitions`. */
async function filled(walrus: Walrus, count: number, partitions = 1): Promise<Topic<string>> {
  const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions })
  await append(topic, 0, count)
  return topic
}

async function append(topic: Topic<string>, from: number, count: number): Promise<void> {
  const { partitions } = topic.config
  const producers = Array.from({ length: partitions }, (_none, partition) => topic.producer({ partition }))
  const values = Array.from({ length: count }, (_none, index) => index + from)
  await Promise.all(values.map((value) => producers[value % partitions].append(String(value))))
  for (const producer of producers) await producer.close()
}

const valuesOf = (records: { value: string }[]): string[] => records.map(({ value }) => value)
const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_none, index) => String(index + from))

/** The next records of a loop, without leaving it. */
async function take(records: AsyncIterator<{ value: string }>, count: number): Promise<string[]> {
  const values: string[] = []
  while (values.length < count) {
    const { done, value } = await records.next()
    if (done) break
    values.push(value.value)
  }
  return values
}

describe('a consumer', () => {
  test.each<ConsumerOptions['checkpoint']>(['each', { every: 3 }, 'manual'])(
    'with checkpoint %j hands out what is there in order, and goes on with what comes',
    async (checkpoint) => {
      const topic = await filled(await openLog(), 5)
      const consumer = topic.consumer('g', { checkpoint })
      const records = consumer[Symbol.asyncIterator]()
      expect(await take(records, 5)).toEqual(range(0, 5))
      const next = take(records, 2)
      await append(topic, 5, 2)
      expect(await next).toEqual(range(5, 7))
    },
  )

  test('goes on where the group is after the log was closed and opened', async () => {
    const directory = temporaryDirectory()
    for (let run = 0; run < 3; run++) {
      const walrus = await openLog(directory)
      const topic = run === 0 ? await filled(walrus, 9) : await walrus.topic<string>('t')
      const consumer = topic.consumer('g')
      const values: string[] = []
      for await (const { value } of consumer) {
        values.push(value)
        if (values.length === 3) break
      }
      expect(values).toEqual(range(run * 3, run * 3 + 3))
      await walrus.close()
    }
  })

  test('of one group knows nothing of another', async () => {
    const topic = await filled(await openLog(), 4)
    const [one, other] = [topic.consumer('one'), topic.consumer('other')]
    expect(valuesOf(await one.read(3))).toEqual(range(0, 3))
    expect(valuesOf(await other.read())).toEqual(range(0, 4))
    expect(valuesOf(await one.read())).toEqual(range(3, 4))
  })

  test('reads at once what is there, peeks without moving, and says how much is left', async () => {
    const topic = await filled(await openLog(), 10)
    const consumer = topic.consumer('g', { checkpoint: 'each' })
    expect(await consumer.lag()).toBe(10)
    expect(valuesOf(await consumer.peek(2))).toEqual(range(0, 2))
    expect(valuesOf(await consumer.peek())).toEqual(range(0, 10))
    const first = await consumer.read(4)
    expect(await consumer.lag()).toBe(6)
    expect(valuesOf(await consumer.peek(1))).toEqual(['4'])
    expect(valuesOf(await consumer.read())).toEqual(range(4, 10))
    expect(await consumer.read(1)).toEqual([])
    expect(await consumer.peek()).toEqual([])
    // What read gave is in memory of its own.
    expect(valuesOf(first)).toEqual(range(0, 4))
    await append(topic, 10, 1)
    expect(valuesOf(await consumer.read(1))).toEqual(['10'])
  })

  test('peeks no further than it may read, and not at what was trimmed since it last looked', async () => {
    const topic = await filled(await openLog(), 20)
    const consumer = topic.consumer('g', { checkpoint: { every: 6 } })
    for (let at = 0; at < 18; at += 6) {
      expect(valuesOf(await consumer.peek())).toEqual(range(at, at + 6))
      expect(valuesOf(await consumer.read(4))).toEqual(range(at, at + 4))
      expect(valuesOf(await consumer.peek())).toEqual(range(at + 4, at + 6))
      expect(valuesOf(await consumer.read(2))).toEqual(range(at + 4, at + 6))
      await consumer.commit()
    }
    expect(valuesOf(await consumer.peek())).toEqual(range(18, 20))
    await append(topic, 20, 20)
    await topic.trim({ before: 30 })
    expect(valuesOf(await consumer.peek(2))).toEqual(valuesOf(await consumer.read(2)))
  })

  test('reads across batches and windows as much as is wanted, and keeps it', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic('big')
    const producer = topic.producer()
    const value = new Uint8Array(40_000)
    for (let index = 0; index < 100; index++) {
      value.fill(index)
      await producer.append(value)
    }
    const consumer = topic.consumer('g')
    const records = await consumer.read(100)
    await consumer.read()
    expect(records.map((record) => (record.value as Uint8Array)[39_999])).toEqual(
      Array.from({ length: 100 }, (_, at) => at),
    )
  })

  test('peeks beyond what is in memory, again and again, and reads the same', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
    for (let index = 0; index < 60; index++) {
      await topic.producer({ partition: index % 2 }).append(`${index} ${'x'.repeat(60_000)}`)
    }
    const consumer = topic.consumer('g')
    const read: string[] = []
    for (const count of [1, 7, 30, 60, 5]) {
      const peeked = valuesOf(await consumer.peek(count))
      expect(valuesOf(await consumer.peek(count))).toEqual(peeked)
      const [first] = await consumer.peek(1)
      expect(valuesOf(await consumer.read(count))).toEqual(peeked)
      if (peeked.length > 0) expect(first.value).toBe(peeked[0])
      read.push(...peeked)
    }
    expect(read).toHaveLength(60)
    expect(new Set(read).size).toBe(60)
  })

  test('reads by bytes, and at least one record however large', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = topic.producer()
    for (const length of [10, 10, 10, 3_000_000, 10]) await producer.append('x'.repeat(length))
    const consumer = topic.consumer('g')
    const lengths = async (maxBytes: number): Promise<number[]> =>
      (await consumer.read({ maxBytes })).map(({ value }) => value.length)
    expect(await lengths(25)).toEqual([10, 10])
    expect(await lengths(25)).toEqual([10])
    expect(await lengths(25)).toEqual([3_000_000])
    expect(await lengths(0)).toEqual([10])
    expect(await lengths(0)).toEqual([])
  })

  test('begins where it is told only where the group has not begun', async () => {
    const topic = await filled(await openLog(), 6)
    const end = topic.consumer('end', { from: 'end' })
    expect(await end.lag()).toBe(0)
    await append(topic, 6, 1)
    expect(valuesOf(await end.read())).toEqual(['6'])
    await end.close()
    expect(valuesOf(await topic.consumer('end', { from: 'start' }).read())).toEqual([])
    expect(valuesOf(await topic.consumer('offset', { from: 4 }).read())).toEqual(range(4, 7))
    await expectRefusal(topic.consumer('beyond', { from: 8 }).read(), 'OFFSET_OUT_OF_RANGE', { first: 0, next: 7 })
  })

  test('that joined at the end keeps that place, though it has handed out nothing', async () => {
    const topic = await filled(await openLog(), 3)
    const first = topic.consumer('g', { from: 'end' })
    await first.lag()
    await first.close()
    await append(topic, 3, 2)
    expect(valuesOf(await topic.consumer('g', { from: 'end' }).read())).toEqual(range(3, 5))
  })

  test('seeks to the start, the end, an offset and a time', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = topic.producer()
    for (let index = 0; index < 6; index++) await producer.append(String(index), { timestamp: 1000 + index * 10 })
    const consumer = topic.consumer('g')
    expect(valuesOf(await consumer.read())).toEqual(range(0, 6))
    await consumer.seek('start')
    expect(valuesOf(await consumer.read(1))).toEqual(['0'])
    await consumer.seek(4)
    expect(valuesOf(await consumer.read(1))).toEqual(['4'])
    await consumer.seek(new Date(1015))
    expect(valuesOf(await consumer.read(1))).toEqual(['2'])
    await consumer.seek(new Date(5000))
    expect(await consumer.read()).toEqual([])
    await consumer.seek('end')
    expect(await consumer.read()).toEqual([])
    await consumer.seek(3, { partition: 0 })
    await consumer.close()
    expect(valuesOf(await topic.consumer('g').read())).toEqual(range(3, 6))
  })

  test('refuses a place that is not there, and stays where it was', async () => {
    const topic = await filled(await openLog(), 6, 2)
    const consumer = topic.consumer('g')
    await expectRefusal(consumer.seek(4), 'OFFSET_OUT_OF_RANGE', { first: 0, next: 3 })
    await expectRefusal(consumer.seek(1, { partition: 2 }), 'INVALID_ARGUMENT', { field: 'partition' })
    await expectRefusal(consumer.seek(-1), 'INVALID_ARGUMENT', { field: 'position' })
    await expectRefusal(consumer.read(0), 'INVALID_ARGUMENT', { field: 'max' })
    expect(valuesOf(await consumer.read()).sort()).toEqual(range(0, 6))
    await expectRefusal(() => topic.consumer('a/b'), 'INVALID_ARGUMENT', { field: 'group' })
    await expectRefusal(() => topic.consumer('g', { checkpoint: { every: 0 } }), 'INVALID_ARGUMENT')
    await expectRefusal(() => topic.consumer('g', { colour: 1 } as object), 'INVALID_ARGUMENT', { field: 'colour' })
  })

  test('ends its loop at the end of what is there without follow', async () => {
    const topic = await filled(await openLog(), 7, 2)
    const values: string[] = []
    for await (const { value } of topic.consumer('g', { follow: false })) values.push(value)
    expect(values.sort()).toEqual(range(0, 7))
    // All of it is handled, and the consumer is still there.
    const other = topic.consumer('g', { follow: false })
    for await (const { value } of other) values.push(value)
    expect(values).toHaveLength(7)
  })

  test('repeats what was not committed with checkpoint manual, and nothing that was', async () => {
    const topic = await filled(await openLog(), 6)
    const first = topic.consumer('g', { checkpoint: 'manual' })
    await first.read(2)
    await first.commit()
    await first.read(2)
    await first.close()
    const second = topic.consumer('g', { checkpoint: 'manual' })
    expect(valuesOf(await second.read())).toEqual(range(2, 6))
    await second.commit()
    await second.close()
    expect(await topic.consumer('g', { checkpoint: 'manual' }).read()).toEqual([])
  })

  test('gives no more at once than may be repeated', async () => {
    const topic = await filled(await openLog(), 6)
    const consumer = topic.consumer('g', { checkpoint: { every: 4 } })
    expect(valuesOf(await consumer.read(6))).toEqual(range(0, 4))
    expect(valuesOf(await consumer.read(6))).toEqual(range(4, 6))
  })

  test('takes a record back that is not handled', async () => {
    const topic = await filled(await openLog(), 3)
    const consumer = topic.consumer('g')
    expect(valuesOf(await consumer.read(2))).toEqual(range(0, 2))
    await consumer.putBack()
    expect(valuesOf(await consumer.read(1))).toEqual(['0'])
    expect(valuesOf(await consumer.read(1))).toEqual(['1'])
  })
})

describe('leaving a loop', () => {
  async function handle(
    consumer: Consumer<string>,
    until: string,
    how: 'break' | 'throw' | 'return',
  ): Promise<string[]> {
    const values: string[] = []
    for await (const { value } of consumer) {
      values.push(value)
      if (value !== until) continue
      if (how === 'break') break
      if (how === 'return') return values
      throw Object.assign(new Error('handling failed'), { values })
    }
    return values
  }

  test.each(['break', 'return'] as const)('by %s counts the record in hand as handled', async (how) => {
    const topic = await filled(await openLog(), 5)
    const consumer = topic.consumer('g')
    expect(await handle(consumer, '2', how)).toEqual(range(0, 3))
    expect(await handle(consumer, '3', how)).toEqual(['3'])
    await consumer.close()
    expect(valuesOf(await topic.consumer('g').read())).toEqual(['4'])
  })

  test('by throw does not', async () => {
    const topic = await filled(await openLog(), 5)
    const consumer = topic.consumer('g')
    expect(await errorOf(handle(consumer, '2', 'throw'))).toMatchObject({ values: range(0, 3) })
    expect(await errorOf(handle(consumer, '2', 'throw'))).toMatchObject({ values: ['2'] })
    await consumer.close()
    expect(valuesOf(await topic.consumer('g').read())).toEqual(range(2, 5))
  })

  test('by throw out of a scope that disposes of the consumer does not, by break out of it does', async () => {
    const topic = await filled(await openLog(), 5)
    async function scope(fails: boolean): Promise<void> {
      await using consumer = topic.consumer('g')
      for await (const { value } of consumer) {
        if (value === '1' && fails) throw new Error('handling failed')
        if (value === '1') break
      }
    }
    await errorOf(scope(true))
    await scope(false)
    expect(valuesOf(await topic.consumer('g').read())).toEqual(range(2, 5))
  })

  test('by an end of the process counts as nothing: what was in hand is in hand again', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, 3)
    const consumer = topic.consumer('g')
    await take(consumer[Symbol.asyncIterator](), 2)
    await walrus.close()
    const again = await openLog(directory)
    expect(valuesOf(await (await again.topic<string>('t')).consumer('g').read())).toEqual(range(1, 3))
  })
})

describe('the end of a consumer', () => {
  test('comes with UNKNOWN_TOPIC when its topic is deleted, and with CLOSED when its log is closed', async () => {
    const walrus = await openLog()
    const [doomed, kept] = [await walrus.topic('doomed'), await walrus.topic('kept')]
    const [first, second] = [doomed.consumer('g'), kept.consumer('g')]
    const waiting = [first, second].map((consumer) => errorOf(consumer[Symbol.asyncIterator]().next()))
    await Promise.all([first.lag(), second.lag()])
    await walrus.deleteTopic('doomed')
    expect(await waiting[0]).toMatchObject({ code: 'UNKNOWN_TOPIC' })
    await expectRefusal(first.read(), 'UNKNOWN_TOPIC')
    await walrus.close()
    expect(await waiting[1]).toMatchObject({ code: 'CLOSED' })
    await expectRefusal(second.read(), 'CLOSED')
    await expectRefusal(second.peek(), 'CLOSED')
  })

  test('comes with the reason of its signal, and gives up what it has', async () => {
    const topic = await filled(await openLog(), 3)
    const abort = new AbortController()
    const consumer = topic.consumer('g', { signal: abort.signal })
    const records = consumer[Symbol.asyncIterator]()
    expect(await take(records, 3)).toEqual(range(0, 3))
    const waiting = errorOf(records.next())
    await consumer.lag()
    abort.abort(new Error('enough'))
    expect((await waiting).message).toBe('enough')
    expect((await errorOf(consumer.read())).message).toBe('enough')
    const other = topic.consumer('g', { follow: false })
    await append(topic, 3, 1)
    for await (const { value } of other) expect(value).toBe('3')
    expect(() => topic.consumer('g', { signal: abort.signal })).toThrow('enough')
  })

  test('by close ends a loop that waits', async () => {
    const topic = await filled(await openLog(), 1)
    const consumer = topic.consumer('g')
    const seen: string[] = []
    const loop = (async () => {
      for await (const { value } of consumer) seen.push(value)
    })()
    while ((await consumer.lag()) > 0) await new Promise((resolve) => setImmediate(resolve))
    await consumer.close()
    await loop
    expect(seen).toEqual(['0'])
    await expectRefusal(consumer.read(), 'CLOSED')
    await consumer.close()
  })

  test('leaves nothing of a topic for one that is made again under its name', async () => {
    const walrus = await openLog()
    const topic = await filled(walrus, 3)
    await topic.consumer('g').read()
    await walrus.deleteTopic('t')
    const again = await filled(walrus, 2)
    expect(valuesOf(await again.consumer('g').read())).toEqual(range(0, 2))
  })
})

describe('the cursor log', () => {
  test('is nobody else’s, and not among the topics', async () => {
    const walrus = await openLog()
    const topic = await filled(walrus, 2)
    await topic.consumer('g').read()
    expect((await walrus.topics()).map(({ name }) => name)).toEqual(['t'])
    await expectRefusal(walrus.topic('__cursors'), 'INVALID_ARGUMENT', { field: 'topic' })
    await expectRefusal(walrus.deleteTopic('__cursors'), 'INVALID_ARGUMENT', { field: 'topic' })
  })

  test('tells of every group and its lag', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, 6, 2)
    expect((await topic.stats()).groups).toEqual([])
    const consumer = topic.consumer('b')
    await consumer.read()
    await consumer.seek(1, { partition: 1 })
    await topic.consumer('a', { from: 'end' }).lag()
    const groups = [
      { group: 'a', members: 1, lag: 0, partitions: [0, 1].map((partition) => ({ partition, cursor: 3, lag: 0 })) },
      {
        group: 'b',
        members: 1,
        lag: 2,
        partitions: [
          { partition: 0, cursor: 3, lag: 0 },
          { partition: 1, cursor: 1, lag: 2 },
        ],
      },
    ]
    expect((await topic.stats()).groups).toEqual(groups)
    await walrus.close()
    const again = await (await openLog(directory)).topic('t')
    expect((await again.stats()).groups).toEqual(groups.map((group) => ({ ...group, members: 0 })))
  })

  test('puts a cursor back that is past the data, before anything is appended, and says so', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, 0)
    for (let index = 0; index < 9; index++) await append(topic, index, 1)
    const consumer = topic.consumer('g')
    await consumer.read()
    await consumer.commit()
    await walrus.close()
    await shorten(directory, 4)
    const events: WalrusEvent[] = []
    const again = await Walrus.open(directory, { durability: 'os', onEvent: (event) => events.push(event) })
    const shorter = await again.topic<string>('t')
    expect(events).toEqual([
      { type: 'cursor-moved', reason: 'data-loss', topic: 't', partition: 0, group: 'g', from: 9, to: 4 },
    ])
    await append(shorter, 100, 20)
    expect(valuesOf(await shorter.consumer('g').read())).toEqual(range(100, 120))
    await again.close()
  })
})

/** What a loss of power may leave of a topic with durability 'os': here the first records only. */
async function shorten(directory: string, count: number): Promise<void> {
  const fs = await import('node:fs')
  const path = await import('node:path')
  const file = path.join(directory, 'default', 't', '0', `${'0'.repeat(20)}.log`)
  // A record of one digit, in a batch of its own, takes 96 + 16 + 8 bytes behind the segment's 64.
  fs.truncateSync(file, 64 + count * 120)
}
