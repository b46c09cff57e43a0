import { once } from 'node:events'
import { RECORD_BYTES_MAX } from '@walrus-log/core'
import { expect, test } from 'vitest'
import type { Topic } from '#actors/index.js'
import { Faults } from './faults.js'
import { openLog, readValues, startProcess, TestThread, temporaryDirectory } from './fixture.js'

const MIB = 1024 * 1024
const faults = new Faults()
/** The least memory for lanes: none of the batches here finds a run in it. */
const tight = { laneBytesMax: 2 * MIB, writerThreadsMax: 1 }

const filled = (bytes: number, byte: number): Uint8Array => new Uint8Array(bytes).fill(byte)

/** The values of the topic are of these lengths, each filled with its own place. */
async function expectValues(topic: Topic<Uint8Array>, lengths: number[]): Promise<void> {
  const values = await readValues(topic)
  expect(values.map(({ length }) => length)).toEqual(lengths)
  for (const [index, value] of values.entries()) expect(Buffer.compare(value, filled(lengths[index], index))).toBe(0)
}

test('batches larger than all memory for lanes go through, in order, whole, and as many at once as are sent', async () => {
  const walrus = await openLog(undefined, tight)
  const topic = await walrus.topic<Uint8Array>('t', { codec: 'bytes' })
  const producer = topic.producer()
  const lengths = [3 * MIB, 10, 4 * MIB, 4 * MIB + 1, 5, 3 * MIB - 7, 3 * MIB]
  const values = lengths.map((length, index) => filled(length, index))
  const acks = await Promise.all([
    producer.append(values[0]),
    producer.append(values[1]),
    producer.appendBatch(values.slice(2, 5)),
    producer.append(values[5]),
    producer.append(values[6]),
  ])
  expect(acks.flat().map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4, 5, 6])
  await expectValues(topic, lengths)
})

test('the largest record goes through the smallest memory', async () => {
  const walrus = await openLog(undefined, tight)
  const topic = await walrus.topic<Uint8Array>('t', { codec: 'bytes' })
  const producer = topic.producer()
  while (!producer.send(filled(RECORD_BYTES_MAX, 0))) await producer.ready()
  await producer.flush()
  expect(await producer.append(filled(3, 1))).toMatchObject({ offset: 1 })
  await expectValues(topic, [RECORD_BYTES_MAX, 3])
})

test('a batch may have more than a hundred megabytes', async () => {
  const walrus = await openLog()
  const topic = await walrus.topic<Uint8Array>('t', { codec: 'bytes', segmentBytes: 64 * MIB })
  const value = filled(MIB, 9)
  const acks = await topic.producer().appendBatch(Array.from({ length: 130 }, () => value))
  expect(acks.at(-1)).toMatchObject({ offset: 129 })
  let count = 0
  for await (const batch of topic.read())
    for (const { value: read } of batch) if (Buffer.compare(read, value) === 0) count++
  expect(count).toBe(130)
})

test('they come from any thread', async () => {
  const walrus = await openLog(undefined, tight)
  const topic = await walrus.topic<Uint8Array>('t', { codec: 'bytes' })
  const thread = new TestThread('large', { handle: walrus.handle(), lengths: [3 * MIB, 4 * MIB] })
  expect(await thread.next()).toEqual([0, 1])
  await expectValues(topic, [3 * MIB, 4 * MIB])
})

test('a writer that dies leaves each of them there once, to its successor', async () => {
  const walrus = await openLog(undefined, { ...tight, fileSystem: Faults.fileSystem, durability: 'disk' })
  for (const [at, when] of [
    [1, 'before'],
    [1, 'after'],
    [2, 'before'],
    [2, 'after'],
  ] as const) {
    const topic = await walrus.topic<Uint8Array>(`t${at}${when}`, { codec: 'bytes', segmentBytes: 4 * MIB })
    const producers = [topic.producer(), topic.producer({ producerId: 'named' })]
    await producers[1].ready()
    faults.inject({ action: 'exit 1', at, when, kinds: ['write'], roles: ['writer'] })
    const lengths = [3 * MIB, 3 * MIB + 100, 20]
    const appends = lengths.map((length, index) => producers[index % 2].append(filled(length, length % 251)))
    const acks = await Promise.all(appends)
    expect(faults.fired).toBe(1)
    faults.heal()
    const values = await readValues(topic)
    expect(values).toHaveLength(3)
    for (const [index, { offset }] of acks.entries()) {
      expect(Buffer.compare(values[offset], filled(lengths[index], lengths[index] % 251))).toBe(0)
    }
  }
})

test('kill -9 in the middle leaves a batch whole or not there', async () => {
  const directory = temporaryDirectory()
  for (let kill = 0; kill < 3; kill++) {
    const child = startProcess('large-batches', { directory, ...tight })
    let acknowledged = 0
    child.on('message', (offset) => {
      acknowledged = offset as number
    })
    await once(child, 'message')
    await new Promise((resolve) => setTimeout(resolve, (kill * 7) % 20))
    child.kill('SIGKILL')
    await once(child, 'close')
    const walrus = await openLog(directory)
    const topic = await walrus.topic<Uint8Array>('t', { codec: 'bytes' })
    const bytes: number[] = []
    for await (const batch of topic.read()) for (const { value } of batch) bytes.push(value[0], value[value.length - 1])
    expect(bytes.length % 8).toBe(0)
    expect(bytes.length / 2).toBeGreaterThan(acknowledged)
    expect(bytes).toEqual(bytes.map((_byte, index) => Math.floor(index / 2) % 4))
    await walrus.close()
  }
})
