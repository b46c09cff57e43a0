import { describe, expect, test } from 'vitest'
import { type CallKind, Faults } from './faults.js'
import { openLog, readValues, sendAll, temporaryDirectory } from './fixture.js'

const faults = new Faults()
const KIB = 1024
/** A lane's ring, and one batch that is still open, are all that a producer fills. */
const LANE_BYTES = KIB * KIB

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * Sends until the lane is full for good: nothing has been taken for long after a thread was found waiting. One refusal
 * may mean no more than the end of a turn, or a writer that has not come to the disk yet.
 */
async function fill(producer: { send(value: string): boolean }, prefix: string): Promise<string[]> {
  const sent: string[] = []
  for (let refusals = 0; refusals < 40; ) {
    const value = `${prefix} ${String(sent.length).padStart(6, '0')}`.padEnd(1000)
    if (producer.send(value)) {
      sent.push(value)
      refusals = 0
    } else {
      await faults.blocked()
      await turns(100)
      refusals++
    }
  }
  return sent
}

describe('with a disk that does not answer', () => {
  for (const kind of ['write', 'sync'] as CallKind[]) {
    test(`(${kind}) send says false after a bounded number of bytes, ready waits, the event loop goes on`, async () => {
      const walrus = await openLog(undefined, { fileSystem: Faults.fileSystem, durability: 'disk' })
      const topic = await walrus.topic<string>('t', { codec: 'utf8' })
      const producer = topic.producer()
      await producer.append('first')
      faults.block([kind])
      const sent = await fill(producer, 'x')
      await faults.blocked()
      expect(sent.length).toBeGreaterThan(0)
      // What is written leaves the lane; only its acknowledgement waits for a sync, in a bounded number of slots.
      if (kind === 'write') expect(sent.length * 1000).toBeLessThan(2 * LANE_BYTES)
      expect(producer.send('one more'.padEnd(1000))).toBe(false)
      let isReady = false
      const ready = producer.ready().then(() => {
        isReady = true
      })
      const waiting = Array.from({ length: 100 }, (_none, index) => producer.append(`waiting ${index}`))
      const { rss } = process.memoryUsage()
      await turns(2000)
      expect(isReady).toBe(false)
      expect(process.memoryUsage().rss - rss).toBeLessThan(64 * KIB * KIB)
      expect(await readValues(topic)).toEqual(['first'])
      faults.unblock()
      await ready
      const acks = await Promise.all(waiting)
      await producer.flush()
      expect(acks.map(({ offset }) => offset)).toEqual(acks.map((_ack, index) => sent.length + 1 + index))
      expect(await readValues(topic)).toEqual([
        'first',
        ...sent,
        ...waiting.map((_append, index) => `waiting ${index}`),
      ])
    })
  }

  test('close waits without blocking the main thread, and settles everything when the disk answers', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory, { fileSystem: Faults.fileSystem })
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = topic.producer()
    await producer.append('first')
    faults.block(['write'])
    const sent = await fill(producer, 'x')
    const appended = producer.append('appended')
    await faults.blocked()
    let isClosed = false
    const closing = walrus.close().then(() => {
      isClosed = true
    })
    await turns(2000)
    expect(isClosed).toBe(false)
    faults.unblock()
    await closing
    expect(await appended).toMatchObject({ offset: sent.length + 1 })
    const again = await openLog(directory)
    expect(await readValues(await again.topic<string>('t'))).toEqual(['first', ...sent, 'appended'])
  })

  test('another partition, in another writer, is not held up', async () => {
    const walrus = await openLog(undefined, { fileSystem: Faults.fileSystem })
    const slow = await walrus.topic<string>('slow', { codec: 'utf8' })
    const fast = await walrus.topic<string>('fast', { codec: 'utf8' })
    const producer = fast.producer()
    await producer.append('before')
    faults.block(['write'])
    const stuck = slow.producer().append('stuck')
    await faults.blocked()
    faults.count()
    // One thread waits in the gate already; the other finds it open again, as its calls are not chosen any more.
    faults.count(['remove'])
    await producer.append('after')
    expect(await readValues(fast)).toEqual(['before', 'after'])
    faults.unblock()
    expect(await stuck).toMatchObject({ offset: 0 })
  })
})

describe('order', () => {
  test('is kept by one producer that sends, appends and appends batches into full lanes', async () => {
    const walrus = await openLog(undefined, { laneBytesMax: 4 * KIB * KIB })
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
    const producers = [
      topic.producer({ partition: 0 }),
      topic.producer({ partition: 1 }),
      topic.producer({ partition: 0 }),
    ]
    const expected: string[][] = [[], [], []]
    const jobs = producers.map(async (producer, number) => {
      const acks: Promise<unknown>[] = []
      for (let index = 0; index < 3000; index++) {
        const value = `${number}:${index}:`.padEnd(20 + ((index * 37) % 3000), 'x')
        const how = index % 3
        if (how === 0) acks.push(producer.append(value))
        else if (how === 1) acks.push(producer.appendBatch([value, `${value}'`]))
        else await sendAll(producer, [value])
        expected[number].push(value)
        if (how === 1) expected[number].push(`${value}'`)
      }
      await producer.flush()
      await Promise.all(acks)
    })
    await Promise.all(jobs)
    const first = await readValues(topic, 0)
    expect(first.filter((value) => value.startsWith('0'))).toEqual(expected[0])
    expect(first.filter((value) => value.startsWith('2'))).toEqual(expected[2])
    expect(await readValues(topic, 1)).toEqual(expected[1])
    for (const [at, value] of first.entries()) if (value.endsWith("'")) expect(first[at - 1]).toBe(value.slice(0, -1))
  })
})

test('a lane that is taken over while its last owner is still in the count of a sync harms neither', async () => {
  const walrus = await openLog(undefined, { fileSystem: Faults.fileSystem, durability: 'disk' })
  const slow = await walrus.topic<string>('slow', { codec: 'utf8' })
  const other = await walrus.topic<string>('other', { codec: 'utf8', durability: 'os' })
  const leaving = slow.producer()
  await leaving.append('leaving')
  const busy = slow.producer()
  await busy.append('busy')
  faults.block(['sync'], ['sync'])
  // More than the writer syncs by itself, so that the sync thread counts the lanes and waits.
  const values = Array.from({ length: 600 }, (_none, index) => `${index}`.padEnd(1000))
  await sendAll(busy, values)
  await faults.blocked()
  await leaving.close()
  const heir = other.producer()
  for (let index = 0; index < 20; index++) expect(await heir.append(`${index}`)).toMatchObject({ offset: index })
  faults.unblock()
  await busy.flush()
  expect(await heir.append('20')).toMatchObject({ offset: 20 })
  expect(await readValues(slow)).toEqual(['leaving', 'busy', ...values])
  expect(await readValues(other)).toHaveLength(21)
})
