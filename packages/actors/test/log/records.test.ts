import { RECORD_BYTES_MAX } from '@walrus-log/core'
import { describe, expect, test } from 'vitest'
import type { Codec, RecordOptions, Walrus } from '#actors/index.js'
import { murmur2, partitionOfKey } from '#actors/log/partitioner.js'
import { expectRefusal, openLog, randomOf, readAll, readValues, sendAll } from './fixture.js'

let topics = 0

async function topicOf<Value>(walrus: Walrus, codec: Codec, partitions = 1) {
  return walrus.topic<Value>(`t${topics++}`, { codec, partitions })
}

/** Bytes that tell which record they are of, and where in it. */
function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + seed * 7 + (at >>> 8)) & 0xff
  return bytes
}

describe('codecs', () => {
  const values: Record<Codec, unknown[]> = {
    bytes: [
      new Uint8Array(0),
      Buffer.from('x'),
      pattern(31, 1),
      pattern(33, 2),
      pattern(1000, 3),
      new Uint8Array(9).subarray(3, 7),
    ],
    utf8: ['', 'a', 'é', '\0', 'x'.repeat(64), 'ü'.repeat(40), '🦭'.repeat(500), 'x'.repeat(100_000)],
    json: [null, 0, '', false, [], {}, { a: [1, { b: null }], ü: '🦭' }, 'x'.repeat(100_000)],
    msgpack: [
      null,
      0,
      -1,
      2 ** 40,
      1.5,
      '',
      true,
      [],
      {},
      { a: [1, { b: null }] },
      new Date(1e12),
      123n,
      Buffer.from('bytes'),
      'x'.repeat(100_000),
    ],
  }
  test('give back what they were given, empty and null-ish values too', async () => {
    const walrus = await openLog()
    for (const codec of Object.keys(values) as Codec[]) {
      const topic = await topicOf<unknown>(walrus, codec)
      const producer = topic.producer()
      await sendAll(producer, values[codec])
      for (const value of values[codec]) await producer.append(value)
      await producer.appendBatch(values[codec])
      const expected = [...values[codec], ...values[codec], ...values[codec]].map(plain)
      expect((await readValues(topic)).map(plain)).toEqual(expected)
    }
  })

  const plain = (value: unknown): unknown =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : typeof value === 'bigint' ? Number(value) : value

  test('refuse what they cannot take, and write nothing of it', async () => {
    const walrus = await openLog()
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const wrong: Record<Codec, unknown[]> = {
      bytes: ['text', null, undefined, 1, {}, [1], new Uint16Array(2)],
      utf8: [Buffer.from('x'), null, undefined, 1, {}],
      json: [undefined, () => {}, Symbol('x'), 1n, circular],
      msgpack: [Symbol('x'), () => {}],
    }
    const good: Record<Codec, unknown> = { bytes: Buffer.from('good'), utf8: 'good', json: 'good', msgpack: 'good' }
    for (const codec of Object.keys(wrong) as Codec[]) {
      const topic = await topicOf<unknown>(walrus, codec)
      const producer = topic.producer()
      for (const value of wrong[codec]) {
        await expectRefusal(() => producer.send(value), 'INVALID_ARGUMENT', { field: 'value' })
        await expectRefusal(producer.append(value), 'INVALID_ARGUMENT', { field: 'value' })
        await expectRefusal(producer.appendBatch([good[codec], value]), 'INVALID_ARGUMENT', { field: 'value' })
        await producer.appendBatch([good[codec]])
        producer.send(good[codec])
      }
      await producer.flush()
      expect((await readValues(topic)).map(plain)).toEqual(
        wrong[codec].flatMap(() => [plain(good[codec]), plain(good[codec])]),
      )
    }
  })
})

describe('keys', () => {
  test('hash as Kafka hashes them', () => {
    const vectors: [string, number][] = [
      ['21', -973932308],
      ['foobar', -790332482],
      ['a-little-bit-long-string', -985981536],
      ['a-little-bit-longer-string', -1486304829],
      ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
      ['abc', 479470107],
    ]
    for (const [key, hash] of vectors) expect([key, murmur2(Buffer.from(key))]).toEqual([key, hash])
    expect(partitionOfKey(Buffer.from('21'), 7)).toBe((-973932308 & 0x7fff_ffff) % 7)
  })

  test('lead to one partition each, as text or bytes, alone or in a batch; records without go round', async () => {
    const walrus = await openLog()
    const topic = await topicOf<string>(walrus, 'utf8', 4)
    const producer = topic.producer()
    for (const key of ['21', 'foobar', '', 'ü', 'x'.repeat(1000)]) {
      const partition = partitionOfKey(Buffer.from(key), 4)
      expect(await producer.append('a', { key })).toMatchObject({ partition })
      expect(await producer.append('b', { key: Buffer.from(key) })).toMatchObject({ partition })
      expect(await producer.appendBatch(['c', 'd'], { key })).toMatchObject([{ partition }, { partition }])
    }
    const read = await readAll(topic)
    expect(read.filter(({ key }) => key === '21').map(({ value }) => value)).toEqual(['a', 'b', 'c', 'd'])
    expect(read.filter(({ key }) => key === '')).toHaveLength(4)
    const partitions = []
    for (let index = 0; index < 8; index++) partitions.push((await producer.append('x')).partition)
    expect([...partitions].sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
    expect((await topic.producer({ partition: 2 }).append('x', { key: '21' })).partition).toBe(2)
    expect((await readAll(topic)).filter(({ key }) => key === null)).toHaveLength(8)
    await expectRefusal(producer.append('x', { key: 1 as never }), 'INVALID_ARGUMENT', { field: 'key' })
  })
})

test('headers come back as they were given', async () => {
  const walrus = await openLog()
  const topic = await topicOf<string>(walrus, 'utf8')
  const producer = topic.producer()
  const given = [{}, { a: 1 }, { trace: 'x'.repeat(200), nested: { list: [1, 'two', null] } }, null, undefined]
  for (const headers of given) await producer.append('v', { headers, key: 'k' })
  await producer.appendBatch(['a', 'b'], { headers: { batch: true } })
  const read = await readAll(topic)
  expect(read.map(({ headers }) => headers)).toEqual([
    ...given.slice(0, 3),
    null,
    null,
    { batch: true },
    { batch: true },
  ])
  expect(read.every(({ key }, index) => key === (index < 5 ? 'k' : null))).toBe(true)
  for (const headers of ['x', 1, ['a']]) {
    await expectRefusal(producer.append('v', { headers: headers as never }), 'INVALID_ARGUMENT', { field: 'headers' })
  }
})

test('timestamps of any time stand beside each other, and those without one are of now', async () => {
  const walrus = await openLog()
  const topic = await topicOf<string>(walrus, 'utf8')
  const producer = topic.producer()
  const startMs = Date.now()
  const day = 86_400_000
  const times = [
    undefined,
    0,
    undefined,
    startMs - 10,
    startMs + 30 * day,
    undefined,
    startMs - 20 * day,
    startMs - 30 * day,
    1,
    undefined,
    Number.MAX_SAFE_INTEGER,
    undefined,
    5,
  ]
  const acks = await Promise.all(times.map((timestamp, index) => producer.append(String(index), { timestamp })))
  const [batchAck] = await producer.appendBatch(['x', 'y'], { timestamp: 77 })
  expect(batchAck.timestamp).toBe(77)
  const read = await readAll(topic)
  expect(read.map(({ value }) => value)).toEqual([...times.map((_time, index) => String(index)), 'x', 'y'])
  expect(read.map(({ timestamp }) => timestamp)).toEqual([...acks.map(({ timestamp }) => timestamp), 77, 77])
  for (const [index, { timestamp }] of acks.entries()) {
    if (times[index] !== undefined) expect(timestamp).toBe(times[index])
    else expect(timestamp).toSatisfy((ms: number) => ms >= startMs && ms <= Date.now())
  }
  for (const timestamp of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    await expectRefusal(producer.append('v', { timestamp }), 'INVALID_ARGUMENT', { field: 'timestamp' })
    await expectRefusal(producer.appendBatch(['v'], { timestamp }), 'INVALID_ARGUMENT', { field: 'timestamp' })
  }
  expect(await readAll(topic)).toHaveLength(read.length)
})

describe('sizes', () => {
  const KIB = 1024
  /** Around the guess of a codec, a batch, half a lane and a lane of the sizes that lanes have, and beyond. */
  const edges = [
    0,
    8,
    16,
    32,
    64,
    96,
    4 * KIB,
    16 * KIB,
    32 * KIB,
    64 * KIB,
    128 * KIB,
    256 * KIB,
    512 * KIB,
    KIB * KIB,
    3 * KIB * KIB,
  ]
  const lengths = edges
    .flatMap((edge) => [-200, -112, -96, -17, -16, -9, -8, -7, -1, 0, 1, 7, 8, 9, 100].map((by) => edge + by))
    .filter((length) => length >= 0)

  for (const laneBytesMax of [4 * KIB * KIB + 8 * KIB * KIB, 256 * KIB * KIB]) {
    test(`all go through, in order, with ${laneBytesMax / KIB / KIB} MiB of lanes`, async () => {
      const walrus = await openLog(undefined, { laneBytesMax })
      const random = randomOf('sizes')
      const topic = await topicOf<Uint8Array>(walrus, 'bytes')
      const text = await topicOf<string>(walrus, 'utf8')
      const producer = topic.producer()
      const writer = text.producer()
      const sent: number[] = []
      for (let round = 0; round < 2; round++) {
        for (const length of round === 0 ? lengths : [...lengths].sort(() => random() - 0.5)) {
          const value = pattern(length, sent.length)
          sent.push(length)
          const how = random()
          if (how < 0.4) await sendAll(producer, [value])
          else if (how < 0.8) await producer.append(value)
          else await producer.appendBatch([value])
          const string = String.fromCharCode(97 + (sent.length % 26)).repeat(length)
          if (how < 0.5) await sendAll(writer, [string])
          else void writer.append(string)
        }
      }
      await Promise.all([producer.flush(), writer.flush()])
      const read = await readValues(topic)
      expect(read.map(({ length }) => length)).toEqual(sent)
      for (const [index, value] of read.entries()) expect(Buffer.compare(value, pattern(sent[index], index))).toBe(0)
      expect(
        (await readValues(text)).map(
          (string, index) => string === String.fromCharCode(97 + ((index + 1) % 26)).repeat(sent[index]),
        ),
      ).not.toContain(false)
    })
  }

  test('the largest record goes through; a larger one, or batch, is refused before anything of it is written', async () => {
    const walrus = await openLog()
    const topic = await topicOf<Uint8Array>(walrus, 'bytes')
    const producer = topic.producer()
    const largest = new Uint8Array(RECORD_BYTES_MAX - 3).fill(7)
    await producer.append(largest, { key: 'key' })
    const refused: [Uint8Array[], RecordOptions][] = [
      [[new Uint8Array(RECORD_BYTES_MAX + 1)], {}],
      [[new Uint8Array(RECORD_BYTES_MAX - 2)], { key: 'key' }],
      [[Buffer.from('x')], { key: new Uint8Array(RECORD_BYTES_MAX + 1) }],
      [Array.from({ length: 9 }, () => largest), {}],
    ]
    for (const [values, options] of refused) {
      await expectRefusal(producer.appendBatch(values, options), 'RECORD_TOO_LARGE')
      if (values.length === 1) await expectRefusal(() => producer.send(values[0], options), 'RECORD_TOO_LARGE')
      if (values.length === 1) await expectRefusal(producer.append(values[0], options), 'RECORD_TOO_LARGE')
    }
    expect(await producer.append(Buffer.from('after'))).toMatchObject({ offset: 1 })
    const [first, second] = await readValues(topic)
    expect(Buffer.compare(first, largest)).toBe(0)
    expect(Buffer.from(second).toString()).toBe('after')
  })
})
