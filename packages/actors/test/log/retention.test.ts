import fs from 'node:fs'
import path from 'node:path'
import { segmentFileName } from '@walrus-log/core'
import { describe, expect, test } from 'vitest'
import { type Topic, type TopicOptions, Walrus } from '#actors/index.js'
import { Faults } from './faults.js'
import { expectRefusal, openLog, readAll, readValues, temporaryDirectory } from './fixture.js'

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_none, index) => String(from + index))

/** Ten segments of ten records, of which nine are full; synced and sealed as they come. */
async function filled(walrus: Walrus, options: TopicOptions = {}): Promise<Topic<string>> {
  const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentEntries: 10, durability: 'disk', ...options })
  await using producer = topic.producer()
  for (const value of numbers(0, 95)) await producer.append(value)
  return topic
}

const segmentsOf = (directory: string) =>
  fs
    .readdirSync(path.join(directory, 'default', 't', '0'))
    .filter((name) => name.endsWith('.log'))
    .sort()

/** Waits for what a seal brings about. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('retention', () => {
  test('removes what is surplus as segments are sealed, and keeps what was promised', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, { retention: { records: 25 } })
    // The newest 25 begin in the segment of 70.
    await until(async () => (await topic.stats()).partitions[0].first === 70)
    await until(() => segmentsOf(directory).length === 3)
    expect(await readValues(topic)).toEqual(numbers(70, 95))
    await walrus.close()
    const again = await openLog(directory)
    expect(await readValues(await again.topic<string>('t'))).toEqual(numbers(70, 95))
  })

  test('by age ends a segment that nobody writes to any more, and forgets those before the last', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus, { retention: { ms: 1 }, segmentMs: 1 })
    // All 95 are old: the open segment is ended too, and it is the last sealed one, which stays, wherever it began.
    await until(() => segmentsOf(directory).at(-1) === segmentFileName(95))
    await until(() => segmentsOf(directory).length === 2)
    const { first } = (await topic.stats()).partitions[0]
    expect(segmentsOf(directory)).toEqual([segmentFileName(first), segmentFileName(95)])
    expect(await readValues(topic)).toEqual(numbers(first, 95))
  })

  test('is changed by a later open, at once, and lifted by one without limits', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus)
    expect(segmentsOf(directory)).toHaveLength(10)
    expect((await walrus.topic('t', { retention: { records: 50 } })).config.retention).toEqual({ records: 50 })
    await until(async () => (await topic.stats()).partitions[0].first === 40)
    expect((await walrus.topic('t', { retention: {} })).config.retention).toEqual({})
    expect((await walrus.topic('t')).config).toMatchObject({ retention: {}, segmentEntries: 10 })
    await walrus.close()
    const again = await openLog(directory)
    expect(await readValues(await again.topic<string>('t'))).toEqual(numbers(40, 95))
  })

  test('settings that cannot be are refused by name', async () => {
    const walrus = await openLog()
    const wrong: [string, object][] = [
      ['retention.ms', { retention: { ms: -1 } }],
      ['retention.records', { retention: { records: 1.5 } }],
      ['retention', { retention: 5 }],
      ['segmentMs', { segmentMs: 0 }],
      ['cleanup', { cleanup: 'burn' }],
    ]
    for (const [field, options] of wrong) {
      await expectRefusal(walrus.topic('t', options as TopicOptions), 'INVALID_ARGUMENT', { field })
    }
    expect(await walrus.topics()).toEqual([])
  })
})

describe('a writer that dies', () => {
  test('while segments are sealed and forgotten loses nothing that is kept, and no offset comes back', async () => {
    const faults = new Faults()
    for (const at of [8, 34]) {
      const directory = temporaryDirectory()
      const walrus = await openLog(directory, { writerThreadsMax: 1, fileSystem: Faults.fileSystem })
      const options = { codec: 'utf8', segmentEntries: 3, durability: 'disk', retention: { records: 8 } } as const
      const topic = await walrus.topic<string>('t', options)
      await using producer = topic.producer()
      faults.inject({ action: 'exit 1', at, roles: ['writer', 'sync'] })
      let first = 0
      for (const value of numbers(0, 30)) {
        expect((await producer.append(value)).offset).toBe(Number(value))
        const [partition] = (await topic.stats()).partitions
        expect(partition.first).toBeGreaterThanOrEqual(first)
        first = partition.first
      }
      expect(faults.fired).toBe(1)
      faults.heal()
      await until(async () => (await topic.stats()).partitions[0].first === 21)
      expect(await readValues(topic)).toEqual(numbers(21, 30))
      await walrus.close()
      const again = await openLog(directory)
      expect(await readValues(await again.topic<string>('t'))).toEqual(numbers(21, 30))
      await again.close()
    }
  })
})

describe('a trim', () => {
  test('is exact for readers, from any thread, and across a reopen', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus)
    expect(await topic.trim({ before: 33 })).toEqual([{ partition: 0, first: 33, next: 95 }])
    expect(segmentsOf(directory)).toHaveLength(7)
    expect(await readValues(topic)).toEqual(numbers(33, 95))
    await expectRefusal(topic.read({ from: 32 }).next(), 'OFFSET_OUT_OF_RANGE', { first: 33, next: 95 })
    expect(await topic.trim({ before: 10 })).toEqual([{ partition: 0, first: 33, next: 95 }])
    await walrus.close()
    const again = await openLog(directory)
    const reopened = await again.topic<string>('t')
    expect(await readValues(reopened)).toEqual(numbers(33, 95))
    const attached = await Walrus.attach(again.handle())
    const same = await attached.topic<string>('t')
    expect(await same.trim({ before: 'end' })).toEqual([{ partition: 0, first: 95, next: 95 }])
    expect(await readAll(same)).toEqual([])
    await attached.close()
    await using producer = reopened.producer()
    expect(await producer.append('95')).toMatchObject({ offset: 95 })
    expect(await readValues(reopened)).toEqual(['95'])
  })

  test('by time goes up to the first record that is of that time or later', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', durability: 'disk' })
    await using producer = topic.producer()
    for (let n = 0; n < 5; n++) await producer.append(String(n), { timestamp: 1000 * n })
    expect(await topic.trim({ before: new Date(2500) })).toMatchObject([{ first: 3 }])
    expect(await readAll(topic, { from: new Date(0) })).toMatchObject([{ value: '3' }, { value: '4' }])
    expect(await topic.trim({ before: new Date(9000) })).toMatchObject([{ first: 5, next: 5 }])
  })

  test('into a batch leaves nothing of its begin to who reads or seeks by time', async () => {
    const topic = await (await openLog()).topic<string>('t', { codec: 'utf8' })
    await using producer = topic.producer()
    await producer.appendBatch(['0', '1'], { timestamp: 1000 })
    await producer.appendBatch(['2', '3', '4'], { timestamp: 2000 })
    await topic.trim({ before: 3 })
    for (const time of [500, 1000, 2000]) {
      expect((await readAll(topic, { from: new Date(time) })).map(({ offset }) => offset)).toEqual([3, 4])
    }
    const consumer = topic.consumer('g', { follow: false })
    await consumer.seek(new Date(1500))
    expect((await consumer.read()).map(({ value }) => value)).toEqual(['3', '4'])
  })

  test('frees a segment that it went into as soon as that is not the last sealed one', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus)
    await topic.trim({ before: 95 })
    expect(segmentsOf(directory)).toHaveLength(2)
    await using producer = topic.producer()
    for (const value of numbers(95, 125)) await producer.append(value)
    // Of the two it had left, the last one holds offset 95.
    await until(() => segmentsOf(directory)[0] === '00000000000000000090.log')
    expect(await readValues(topic)).toEqual(numbers(95, 125))
  })

  test('and stats beside a deletion never bring the topic back', async () => {
    const walrus = await openLog()
    for (let round = 0; round < 5; round++) {
      const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
      const calls = [topic.trim({ before: 'end' }), topic.stats(), walrus.deleteTopic('t')]
      const late = [topic.stats(), topic.trim({ before: 'end' })].map((call) => expectRefusal(call, 'UNKNOWN_TOPIC'))
      await Promise.all([Promise.allSettled(calls), ...late])
      expect(await walrus.topics()).toEqual([])
    }
  })

  test('that cannot be meant changes nothing', async () => {
    const walrus = await openLog()
    const topic = await filled(walrus)
    await expectRefusal(topic.trim({ before: 96 }), 'OFFSET_OUT_OF_RANGE', { next: 95 })
    await expectRefusal(topic.trim({ before: 5, partition: 1 }), 'INVALID_ARGUMENT', { field: 'partition' })
    await expectRefusal(topic.trim({ before: -1 }), 'INVALID_ARGUMENT', { field: 'before' })
    const two = await walrus.topic('two', { partitions: 2 })
    await expectRefusal(two.trim({ before: 0 }), 'INVALID_ARGUMENT', { field: 'partition' })
    expect(await readValues(topic)).toEqual(numbers(0, 95))
  })
})

describe('a reader', () => {
  test.each([false, true])(
    'that falls behind is told so by name, and never jumps (read-ahead: %s)',
    async (readAhead) => {
      const walrus = await openLog()
      const topic = await walrus.topic<string>('t', { codec: 'utf8', durability: 'disk', segmentBytes: 1 << 20 })
      await using producer = topic.producer()
      const value = 'x'.repeat(100_000)
      for (let n = 0; n < 60; n++) await producer.append(value)
      const seen: number[] = []
      const follow = async () => {
        for await (const batch of topic.read({ follow: true, readAhead })) {
          for (const { offset } of batch) seen.push(offset)
          // What is in memory is finished; what would be read next is gone by then.
          if (seen.length === 1) await topic.trim({ before: 55 })
        }
      }
      await expectRefusal(follow(), 'OFFSET_OUT_OF_RANGE', { first: 55, next: 60 })
      expect(seen).toEqual(seen.map((_offset, index) => index))
      expect(seen.length).toBeLessThan(55)
    },
  )
})
