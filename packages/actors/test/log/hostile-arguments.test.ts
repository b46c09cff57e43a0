import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Consumer, type Producer, partitionOfKey, type Topic, Walrus, WalrusError } from '#actors/index.js'
import { detached, HOSTILE } from '../../../core/test/support/hostile.js'
import { expectRefusal, openLog, readValues, temporaryDirectory } from './fixture.js'

// Every public call with every hostile value in every place: what is not accepted is refused with the package's own
// error, and nothing of it is written.

/** Calls have the types of programs without types. */
// biome-ignore lint/suspicious/noExplicitAny: hostile callers know no types
type Any = any

const CODECS = ['bytes', 'utf8', 'json', 'msgpack'] as const

interface Place {
  walrus: Walrus
  topics: Record<(typeof CODECS)[number], Topic<Any>>
  producers: Record<(typeof CODECS)[number], Producer<Any>>
  named: Producer<Any>
  consumer: Consumer<Any>
}

interface Call {
  call: (place: Place, value: Any) => unknown
  /** Hostile values that are none here. */
  accepts?: readonly string[]
}

/** What leaves an option out. */
const OMITTED = ['undefined'] as const
/** What leaves out all of them: objects that have none. */
const NO_OPTIONS = [
  ...OMITTED,
  'empty object',
  'no prototype',
  'date',
  'fake date',
  'fake bytes',
  'detached bytes',
  'bytes out of bounds',
  'buffer',
] as const
/** A record's options are not looked through for what is none, which would be work for each record. */
const NO_RECORD_OPTIONS = [
  ...NO_OPTIONS,
  'instance',
  'unprintable object',
  'array',
  'fake signal',
  'proxy of bytes',
  'shared bytes',
  'wide numbers',
] as const
const BYTES = ['shared bytes'] as const
const TEXTS = ["''", "'../x'", 'NUL text', 'long text', 'lone surrogate'] as const

let place: Place
let directory: string

beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'walrus-hostile-'))
  const walrus = await Walrus.open(directory, { durability: 'os', writerThreadsMax: 1 })
  const entries = await Promise.all(CODECS.map(async (codec) => [codec, await walrus.topic(codec, { codec })] as const))
  const topics = Object.fromEntries(entries) as Place['topics']
  const producers = Object.fromEntries(entries.map(([codec, topic]) => [codec, topic.producer()]))
  const named = topics.utf8.producer({ producerId: 'n' })
  await named.ready()
  const consumer = topics.bytes.consumer('group')
  place = { walrus, topics, producers: producers as Place['producers'], named, consumer }
})

afterAll(async () => {
  await place.walrus.close()
  fs.rmSync(directory, { recursive: true })
})

const REFUSED: Record<string, Call> = {
  'open(directory)': {
    call: (_place, value) => Walrus.open(value),
    accepts: [...OMITTED, 'null', "'../x'", 'long text', 'lone surrogate'],
  },
  'open(options)': { call: (_place, value) => Walrus.open(`${directory}/other`, value), accepts: NO_OPTIONS },
  ...optionsOf(
    (_place, options) => Walrus.open(`${directory}/other`, options),
    {
      durability: [],
      namespace: ["''"],
      recovery: [],
      writerThreadsMax: [],
      laneBytesMax: [],
      openFilesMax: ['2**53'],
      fileSystem: [],
      onEvent: ['function', 'class'],
    },
    'open',
  ),
  attach: { call: (_place, value) => Walrus.attach(value) },
  ...attachOf('kind', 'directory', 'fileSystem', 'buffers', 'host'),
  'topic(name)': { call: ({ walrus }, value) => walrus.topic(value) },
  'topic(options)': { call: ({ walrus }, value) => walrus.topic('other', value), accepts: NO_OPTIONS },
  ...optionsOf(
    ({ walrus }, options) => walrus.topic('other', options),
    {
      partitions: [],
      codec: [],
      durability: [],
      segmentBytes: [],
      segmentEntries: [],
      retention: NO_OPTIONS,
      segmentMs: ['null'],
      cleanup: [],
      misspelled: [],
    },
    'topic',
  ),
  deleteTopic: { call: ({ walrus }, value) => walrus.deleteTopic(value) },
  'producer(options)': { call: ({ topics }, value) => topics.utf8.producer(value), accepts: NO_OPTIONS },
  ...optionsOf(
    ({ topics }, options) => topics.utf8.producer(options),
    { partition: ['0'], producerId: ["'../x'", 'NUL text'] },
    'producer',
  ),
  'read(options)': { call: ({ topics }, value) => topics.utf8.read(value), accepts: NO_OPTIONS },
  ...optionsOf(
    ({ topics }, options) => topics.utf8.read(options).next(),
    { from: ['0'], follow: ['true'], signal: [], partition: ['0'], readAhead: ['true'] },
    'read',
  ),
  'trim(options)': { call: ({ topics }, value) => topics.utf8.trim(value) },
  ...optionsOf(({ topics }, options) => topics.utf8.trim(options), { before: ['0'] }, 'trim', []),
  'trim({ partition })': {
    call: ({ topics }, value) => topics.utf8.trim({ before: 0, partition: value }),
    accepts: [...OMITTED, '0'],
  },
  'consumer(group)': { call: ({ topics }, value) => topics.utf8.consumer(value) },
  'consumer(options)': { call: ({ topics }, value) => topics.utf8.consumer('g', value), accepts: NO_OPTIONS },
  ...optionsOf(
    ({ topics }, options) => topics.utf8.consumer('g', options),
    { checkpoint: [], from: ['0'], follow: ['true'], signal: [] },
    'consumer',
  ),
  'consumer.read': { call: ({ consumer }, value) => consumer.read(value), accepts: NO_OPTIONS },
  'consumer.peek': { call: ({ consumer }, value) => consumer.peek(value), accepts: NO_OPTIONS },
  'consumer.seek': { call: ({ consumer }, value) => consumer.seek(value), accepts: ['0'] },
  'consumer.seek(options)': { call: ({ consumer }, value) => consumer.seek('start', value), accepts: NO_OPTIONS },
  'consumer.seek({ partition })': {
    call: ({ consumer }, value) => consumer.seek('start', { partition: value }),
    accepts: [...OMITTED, '0'],
  },
  'partitionOfKey(key)': { call: (_place, value) => partitionOfKey(value, 4), accepts: BYTES },
  'partitionOfKey(partitions)': { call: (_place, value) => partitionOfKey(new Uint8Array(), value) },
  'appendBatch(values)': { call: ({ producers }, value) => producers.utf8.appendBatch(value) },
  ...recordCalls(),
  'send(bytes)': { call: ({ producers: { bytes } }, value) => sent(bytes, () => bytes.send(value)), accepts: BYTES },
  'send(utf8)': { call: ({ producers: { utf8 } }, value) => sent(utf8, () => utf8.send(value)), accepts: TEXTS },
  'append(bytes)': { call: ({ producers }, value) => producers.bytes.append(value), accepts: BYTES },
  'append(utf8)': { call: ({ producers }, value) => producers.utf8.append(value), accepts: TEXTS },
  'appendBatch([bytes])': { call: ({ producers }, value) => producers.bytes.appendBatch([value]), accepts: BYTES },
  'appendBatch([utf8])': { call: ({ producers }, value) => producers.utf8.appendBatch([value]), accepts: TEXTS },
  sendEncoded: {
    call: ({ producers: { json } }, value) => sent(json, () => json.sendEncoded(value)),
    accepts: BYTES,
  },
}

/** One call for each option of an object of options. */
function optionsOf(
  call: (place: Place, options: Any) => unknown,
  options: Record<string, readonly string[]>,
  name: string,
  omitted: readonly string[] = OMITTED,
): Record<string, Call> {
  return Object.fromEntries(
    Object.entries(options).map(([option, accepts]) => [
      `${name}({ ${option} })`,
      {
        call: (at: Place, value: Any) => call(at, { [option]: value }),
        accepts: option === 'misspelled' ? [] : [...omitted, ...accepts],
      },
    ]),
  )
}

function attachOf(...parts: string[]): Record<string, Call> {
  return Object.fromEntries(
    parts.map((part) => [
      `attach({ ${part} })`,
      {
        call: ({ walrus }: Place, value: Any) => Walrus.attach({ ...walrus.handle(), [part]: value }),
        // A directory that is none is found out when something is read there.
        accepts: part === 'fileSystem' ? OMITTED : part === 'directory' ? TEXTS : [],
      },
    ]),
  )
}

/** Sends when there is a turn for it: what is not taken is not looked at. */
async function sent(producer: Producer<Any>, send: () => boolean): Promise<void> {
  while (!send()) await producer.ready()
}

/** Each way to send a record, with each of its options. */
function recordCalls(): Record<string, Call> {
  const ways: Record<string, (producer: Producer<Any>, options: Any) => unknown> = {
    send: (producer, options) => sent(producer, () => producer.send('text', options)),
    sendEncoded: (producer, options) => sent(producer, () => producer.sendEncoded(Buffer.from('text'), options)),
    append: (producer, options) => producer.append('text', options),
    appendBatch: (producer, options) => producer.appendBatch(['text'], options),
  }
  const options: Record<string, readonly string[]> = {
    key: ['null', ...TEXTS, ...BYTES],
    // To msgpack, these are maps.
    headers: ['null', 'empty object', 'no prototype', 'instance', 'unprintable object', 'fake signal'],
    timestamp: ['0'],
    durability: [],
  }
  const calls: Record<string, Call> = {}
  for (const [way, send] of Object.entries(ways)) {
    calls[`${way}(options)`] = {
      call: ({ producers }, value) => send(producers.utf8, value),
      accepts: NO_RECORD_OPTIONS,
    }
    Object.assign(
      calls,
      optionsOf(({ producers }, given) => send(producers.utf8, given), options, way),
      optionsOf(({ named }, given) => send(named, given), { sequence: ['0'] }, way),
    )
  }
  return calls
}

describe.each(Object.entries(REFUSED))('%s', (name, { call, accepts = [] }) => {
  test('refuses with INVALID_ARGUMENT all that it cannot take', async () => {
    const wrong: string[] = []
    for (const [kind, make] of Object.entries(HOSTILE)) {
      if (accepts.includes(kind)) continue
      try {
        await call(place, make())
        wrong.push(`${kind}: accepted`)
      } catch (error) {
        if (error instanceof WalrusError && error.code === 'INVALID_ARGUMENT' && error.field !== undefined) continue
        wrong.push(`${kind}: ${String(error)}`)
      }
    }
    expect(wrong.join('\n'), name).toBe('')
  })
})

test('nothing of what was refused was written, and no topic was made', async () => {
  for (const producer of [...Object.values(place.producers), place.named]) await producer.flush()
  for (const topic of Object.values(place.topics)) expect(await topic.stats()).toMatchObject({ records: 0 })
  expect((await place.walrus.topics()).map(({ name }) => name)).toEqual([...CODECS].sort())
})

test('a batch is copied from an offset of its own', async () => {
  const walrus = await openLog()
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  await topic.producer().appendBatch(['a', 'b', 'c'])
  for await (const batch of topic.read()) {
    if (batch.gap !== undefined) throw new Error('no gap was expected')
    for (const [kind, make] of Object.entries(HOSTILE)) {
      if (kind !== '0') await expectRefusal(() => batch.copy(make() as number), 'INVALID_ARGUMENT', { field: 'from' })
    }
    await expectRefusal(() => batch.copy(4), 'INVALID_ARGUMENT', { field: 'from' })
    expect([...batch.copy(2)].map(({ value }) => value)).toEqual(['c'])
    expect([...batch.copy(3)]).toEqual([])
  }
})

describe.each(['json', 'msgpack'] as const)('a value of a %s topic whose getter sends', (codec) => {
  test('is written whole, and so is what the getter sent', async () => {
    const topic = await (await openLog()).topic<unknown>('t', { codec })
    const producer = topic.producer()
    const bytes = (text: string): Uint8Array =>
      Buffer.from(codec === 'json' ? JSON.stringify(text) : `\xa5${text}`, 'latin1')
    const outer = {
      get inner() {
        producer.sendEncoded(bytes('first'))
        producer.flush().catch(() => {})
        return 'inner'
      },
      text: 'x'.repeat(100),
    }
    expect(producer.send('before')).toBe(true)
    await producer.append(outer)
    expect(await readValues(topic)).toEqual(['before', 'first', { inner: 'inner', text: outer.text }])
  })
})

test('a value of a msgpack topic whose getter packs another is refused, and the next one is not', async () => {
  const topic = await (await openLog()).topic<unknown>('t', { codec: 'msgpack' })
  const producer = topic.producer()
  const outer = {
    get inner() {
      return producer.send({ n: 1 })
    },
  }
  await expectRefusal(producer.append(outer), 'INVALID_ARGUMENT', { field: 'value' })
  await producer.append({ n: 2 })
  expect(await readValues(topic)).toEqual([{ n: 2 }])
})

test('a batch that waits for room has the records that its array held at the call', async () => {
  const topic = await (await openLog()).topic<string>('t', { codec: 'utf8' })
  const producer = topic.producer({ producerId: 'opens later' })
  const values = ['a', 'b']
  const acks = producer.appendBatch(values)
  values.push('c')
  values[0] = 'changed'
  expect(await acks).toHaveLength(2)
  expect(await readValues(topic)).toEqual(['a', 'b'])
})

test('bytes whose buffer was transferred are refused, and empty ones are not', async () => {
  const topic = await (await openLog()).topic<Uint8Array>('t')
  const producer = topic.producer()
  await producer.append(new Uint8Array())
  await expectRefusal(producer.append(detached()), 'INVALID_ARGUMENT', { field: 'value' })
  // With a batch open in the lane, on the shortest way.
  await producer.ready()
  expect(producer.send(new Uint8Array([1]))).toBe(true)
  await expectRefusal(() => producer.send(detached()), 'INVALID_ARGUMENT', { field: 'value' })
  await producer.flush()
  expect((await readValues(topic)).map(({ length }) => length)).toEqual([0, 1])
})

test('a log whose directory is a file, or whose file system is no module, is refused', async () => {
  const file = path.join(temporaryDirectory(), 'file')
  fs.writeFileSync(file, '')
  await expectRefusal(Walrus.open(file), 'INVALID_ARGUMENT', { field: 'directory' })
  await expectRefusal(Walrus.open(temporaryDirectory(), { fileSystem: 'file:///no/module.js' }), 'INVALID_ARGUMENT', {
    field: 'fileSystem',
  })
})
