import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type OpenOptions, Walrus } from '#actors/index.js'
import { expectRefusal, openLog, readAll, TestThread, temporaryDirectory } from '../log/fixture.js'
import { WriterProcess } from './writer-process.js'

async function openReadOnly(directory: string, options: OpenOptions = {}): Promise<Walrus> {
  const walrus = await Walrus.open(directory, { readOnly: true, ...options })
  onTestFinished(() => walrus.close().catch(() => {}))
  return walrus
}

const valuesOf = async (walrus: Walrus, topic = 't'): Promise<unknown[]> =>
  (await readAll(await walrus.topic(topic))).map(({ value }) => value)

/** All names below a directory with what a change of any file would change. */
function imageOf(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true })
    .map((name) => {
      const { size, mtimeMs, ino } = fs.statSync(path.join(directory, String(name)))
      return `${name} ${size} ${mtimeMs} ${ino}`
    })
    .sort()
}

describe('a log that another process writes, opened with readOnly', () => {
  test('is read at once: what was acknowledged before the call is there', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    const reader = await openReadOnly(directory)
    for (let round = 0; round < 50; round++) {
      await writer.append(`value ${round}`)
      expect(await valuesOf(reader)).toHaveLength(round + 1)
    }
  })

  test('is followed through rollover, a restart and a kill of the writer', async () => {
    const directory = temporaryDirectory()
    const topicOptions = { segmentBytes: 4096 }
    let writer = await WriterProcess.start(directory, { topicOptions })
    const reader = await openReadOnly(directory)
    const seen: string[] = []
    const abort = new AbortController()
    let wake = (): void => {}
    const following = (async () => {
      const topic = await reader.topic<string>('t')
      for await (const batch of topic.read({ follow: true, signal: abort.signal })) {
        for (const { value, offset } of batch) {
          expect(offset).toBe(seen.length)
          seen.push(value)
        }
        wake()
      }
    })()
    following.catch(() => wake())
    const sent: string[] = []
    const sendAndSee = async (): Promise<void> => {
      for (let round = 0; round < 20; round++) {
        const values = Array.from({ length: 10 }, (_, index) => `${'x'.repeat(100)} ${sent.length + index}`)
        sent.push(...values)
        await writer.append(...values)
      }
      while (seen.length < sent.length) {
        await Promise.race([following, new Promise<void>((resolve) => (wake = resolve))])
      }
      expect(seen).toEqual(sent)
    }
    await sendAndSee()
    await writer.close()
    writer = await WriterProcess.start(directory, { topicOptions })
    await sendAndSee()
    await writer.kill()
    writer = await WriterProcess.start(directory, { topicOptions })
    await sendAndSee()
    abort.abort(new Error('enough'))
    await expect(following).rejects.toThrow('enough')
  })

  test('shows topics that come later, and ends readers of one that is deleted by name, also where it was made again', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    const reader = await openReadOnly(directory)
    await expectRefusal(reader.topic('later'), 'UNKNOWN_TOPIC')
    await writer.ask('topic', { name: 'later' })
    expect(await valuesOf(reader, 'later')).toEqual(['first'])
    await writer.append('old')
    const topic = await reader.topic('t')
    const reading = (async () => {
      for await (const _batch of topic.read({ follow: true }));
    })()
    const refused = expectRefusal(reading, 'UNKNOWN_TOPIC')
    await writer.ask('delete')
    await refused
    await expectRefusal(reader.topic('t'), 'UNKNOWN_TOPIC')
    await writer.ask('again')
    await writer.append('new')
    expect(await valuesOf(reader)).toEqual(['new'])
    await expectRefusal(readAll(topic), 'UNKNOWN_TOPIC')
  })

  test('tells a reader of what was trimmed where reading can go on', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory, { topicOptions: { segmentBytes: 4096 } })
    const reader = await openReadOnly(directory)
    const topic = await reader.topic<string>('t')
    const value = 'x'.repeat(1000)
    for (let n = 0; n < 20; n++) await writer.append(value)
    const records = topic.read()
    await records.next()
    await writer.ask('trim', { before: 15 })
    // Its writer thread says so a moment after the call there.
    while ((await topic.stats()).partitions[0].first < 15);
    await expectRefusal(
      (async () => {
        for await (const _batch of records);
      })(),
      'OFFSET_OUT_OF_RANGE',
      { first: 15, next: 20 },
    )
    await expectRefusal(readAll(topic, { from: 3 }), 'OFFSET_OUT_OF_RANGE', { first: 15, next: 20 })
    expect(await readAll(topic)).toHaveLength(5)
    expect((await topic.stats()).partitions).toMatchObject([{ first: 15, next: 20 }])
  })

  test('is attached to by other threads', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    await writer.append('a', 'b')
    const reader = await openReadOnly(directory)
    const thread = new TestThread('reader', { handle: reader.handle(), topic: 't', count: 4, readAhead: false })
    await thread.next()
    await writer.append('c', 'd')
    expect(await thread.next()).toEqual({ records: 4, gaps: [] })
  })

  test('shows where consumer groups are, lets one look and read from there, and moves no cursor', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    await writer.append('a', 'b', 'c', 'd')
    const reader = await openReadOnly(directory)
    const topic = await reader.topic<string>('t')
    expect((await topic.stats()).groups).toEqual([])
    await writer.ask('commit', { group: 'g', records: 1 })
    expect((await topic.stats()).groups).toMatchObject([{ group: 'g', lag: 3 }])
    const consumer = topic.consumer('g')
    expect((await consumer.peek(1)).map(({ value }) => value)).toEqual(['b'])
    expect((await consumer.read(2)).map(({ value }) => value)).toEqual(['b', 'c'])
    expect((await consumer.read()).map(({ value }) => value)).toEqual(['d'])
    expect(await consumer.lag()).toBe(0)
    await expectRefusal(consumer.commit(), 'READ_ONLY')
    await consumer.close()
    await expectRefusal(() => topic.consumer('g', { checkpoint: 'each' }), 'READ_ONLY')
    expect((await topic.stats()).groups).toMatchObject([{ group: 'g', lag: 3 }])
    await writer.ask('commit', { group: 'g', records: 2 })
    expect((await topic.stats()).groups).toMatchObject([{ group: 'g', lag: 1 }])
  })

  test('takes nothing', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    await writer.append('a')
    const reader = await openReadOnly(directory)
    const topic = await reader.topic('t', { codec: 'utf8', partitions: 1 })
    await expectRefusal(() => topic.producer(), 'READ_ONLY')
    await expectRefusal(topic.trim({ before: 'end' }), 'READ_ONLY')
    await expectRefusal(reader.deleteTopic('t'), 'READ_ONLY')
    await expectRefusal(reader.topic('t', { durability: 'disk' }), 'READ_ONLY')
    await expectRefusal(reader.topic('t', { partitions: 2 }), 'TOPIC_MISMATCH')
    await expectRefusal(reader.topic('other'), 'UNKNOWN_TOPIC')
    await expectRefusal(Walrus.open(path.join(directory, 'nowhere'), { readOnly: true }), 'INVALID_ARGUMENT', {
      field: 'directory',
    })
    expect(fs.existsSync(path.join(directory, 'nowhere'))).toBe(false)
  })
})

describe('a quiet log opened with readOnly', () => {
  test('is read without a change to any file, from a directory that may not be written', async () => {
    const directory = temporaryDirectory()
    const writer = await openLog(directory)
    const producer = (await writer.topic('t', { codec: 'utf8' })).producer()
    await producer.append('a')
    await writer.close()
    const below = fs.readdirSync(directory, { recursive: true }).map((name) => path.join(directory, String(name)))
    const all = [directory, ...below].map((name) => ({ name, mode: fs.statSync(name).mode }))
    for (const { name, mode } of all) fs.chmodSync(name, mode & 0o555)
    onTestFinished(() => {
      for (const { name, mode } of all) fs.chmodSync(name, mode)
    })
    const before = imageOf(directory)
    const reader = await openReadOnly(directory)
    expect(await valuesOf(reader)).toEqual(['a'])
    expect(await (await reader.topic('t')).stats()).toMatchObject({ records: 1 })
    await reader.close()
    expect(imageOf(directory)).toEqual(before)
  })

  test('lets a writer in at any time', async () => {
    const directory = temporaryDirectory()
    await (await openLog(directory)).close()
    const reader = await openReadOnly(directory)
    const writer = await openLog(directory)
    await (await writer.topic('t', { codec: 'utf8' })).producer().append('a')
    expect(await valuesOf(reader)).toEqual(['a'])
  })

  test('of which the last writer was killed shows all that was acknowledged', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    await writer.append('a', 'b')
    await writer.append('c')
    await writer.kill()
    expect(await valuesOf(await openReadOnly(directory))).toEqual(['a', 'b', 'c'])
  })

  test('without a file of watermarks shows all that is whole', async () => {
    const directory = temporaryDirectory()
    const writer = await WriterProcess.start(directory)
    await writer.append('a')
    await writer.append('b')
    await writer.kill()
    fs.rmSync(path.join(directory, 'default', 'watermarks'))
    const segment = path.join(directory, 'default/t/0', `${'0'.repeat(20)}.log`)
    fs.appendFileSync(segment, 'torn')
    expect(await valuesOf(await openReadOnly(directory))).toEqual(['a', 'b'])
  })
})
