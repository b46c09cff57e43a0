import fs from 'node:fs'
import path from 'node:path'
import { isCompressed, NodeFileSystem, openSegmentFile, segmentFileName } from '@walrus-log/core'
import { describe, expect, test } from 'vitest'
import type { Topic, TopicOptions, Walrus, WalrusEvent } from '#actors/index.js'
import { errorOf, expectRefusal, openLog, readAll, readValues, temporaryDirectory } from './fixture.js'

const text = (n: number): string => `${n}:${'{"origin":"SFO","delay":12}'.repeat(20)}`
const texts = (from: number, to: number) => Array.from({ length: to - from }, (_none, index) => text(from + index))

/** Ten segments of ten records, of which nine are full; the newest sealed one stays as it is. */
async function filled(walrus: Walrus, options: TopicOptions = {}): Promise<Topic<string>> {
  const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentEntries: 10, durability: 'disk', ...options })
  await using producer = topic.producer()
  for (const value of texts(0, 95)) await producer.append(value)
  return topic
}

const partitionOf = (directory: string) => path.join(directory, 'default', 't', '0')

function compressedOf(directory: string): number[] {
  const bases = Array.from({ length: 10 }, (_none, index) => index * 10)
  return bases.filter((base) => {
    const name = path.join(partitionOf(directory), segmentFileName(base))
    if (!fs.existsSync(name)) return false
    const file = openSegmentFile(new NodeFileSystem(), name, 'read')
    file.close()
    return isCompressed(file)
  })
}

/** Waits for what the reader pool does in the background. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}

const ALL = [0, 10, 20, 30, 40, 50, 60, 70]

describe('compression', () => {
  test.each(['lz4', 'zstd'] as const)(
    'by %s takes place in the background, and records read as before',
    async (compression) => {
      const directory = temporaryDirectory()
      const walrus = await openLog(directory)
      const topic = await filled(walrus, { compression })
      expect(topic.config.compression).toBe(compression)
      await until(() => compressedOf(directory).length === ALL.length)
      expect(await readValues(topic)).toEqual(texts(0, 95))
      expect((await readAll(topic, { from: 37 })).map(({ offset }) => offset)[0]).toBe(37)
      const { bytes, storedBytes, partitions } = await topic.stats()
      expect(storedBytes).toBeLessThan(bytes / 2)
      expect([partitions[0].bytes, partitions[0].storedBytes]).toEqual([bytes, storedBytes])
      await walrus.close()
      expect(compressedOf(directory)).toEqual(ALL)
      const again = await openLog(directory)
      expect(await readValues(await again.topic<string>('t'))).toEqual(texts(0, 95))
    },
  )

  test('begins with a later open, and goes on at the next where it was ended', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    await filled(walrus)
    await walrus.topic('t', { compression: 'zstd' })
    await until(() => compressedOf(directory).length > 0)
    await walrus.close()
    expect(fs.readdirSync(partitionOf(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([])
    const again = await openLog(directory)
    const topic = await again.topic<string>('t')
    await until(() => compressedOf(directory).length === ALL.length)
    expect((await again.topic('t', { compression: 'none' })).config.compression).toBe('none')
    expect(await readValues(topic)).toEqual(texts(0, 95))
  })

  test('does not come under a reader’s feet, nor in the way of a trim or of retention', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await filled(walrus)
    const read = topic.read()
    const seen: string[] = []
    for (let n = 0; n < 3; n++) for (const { value } of (await read.next()).value!) seen.push(value as string)
    await walrus.topic('t', { compression: 'lz4' })
    await until(() => compressedOf(directory).length === ALL.length)
    for await (const batch of read) for (const { value } of batch) seen.push(value)
    expect(seen).toEqual(texts(0, 95))
    expect(await topic.trim({ before: 35 })).toEqual([{ partition: 0, first: 35, next: 95 }])
    expect(await readValues(topic)).toEqual(texts(35, 95))
    await walrus.topic('t', { retention: { records: 20 } })
    await until(async () => (await topic.stats()).partitions[0].first === 70)
    await until(() => compressedOf(directory).length === 1)
    expect(await readValues(topic)).toEqual(texts(70, 95))
  })

  test('leaves a segment that has rotted as it is, tells of it, and goes on with the others', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    await filled(walrus)
    await walrus.close()
    const name = path.join(partitionOf(directory), segmentFileName(20))
    const rotten = fs.readFileSync(name)
    rotten[200] ^= 1
    fs.writeFileSync(name, rotten)
    const events: WalrusEvent[] = []
    const again = await openLog(directory, { onEvent: (event) => events.push(event) })
    await again.topic('t', { compression: 'zstd' })
    await until(() => compressedOf(directory).length === ALL.length - 1)
    expect(events).toMatchObject([
      { type: 'maintenance-failed', topic: 't', error: { code: 'SEGMENT_CORRUPT', file: name } },
    ])
    expect(fs.readFileSync(name)).toEqual(rotten)
  })

  test('by a codec that there is not is refused by name', async () => {
    const walrus = await openLog()
    const wrong = { compression: 'gzip' } as unknown as TopicOptions
    await expectRefusal(walrus.topic('t', wrong), 'INVALID_ARGUMENT', { field: 'compression' })
    expect((await errorOf(walrus.topic('t', wrong))).message).toMatch(/compression/)
  })

  test('is read by threads that read themselves, by read-ahead, and by time', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentEntries: 500, compression: 'zstd' })
    await using producer = topic.producer()
    const values = Array.from({ length: 5200 }, (_none, n) => text(n))
    for (let n = 0; n < values.length; n += 100) await producer.appendBatch(values.slice(n, n + 100))
    const before = (await readAll(topic)).at(-1)!.timestamp
    await until(async () => (await topic.stats()).storedBytes < (await topic.stats()).bytes / 3)
    expect(await readValues(topic)).toEqual(values)
    expect((await readAll(topic, { from: new Date(before + 1) })).length).toBe(0)
    expect((await readAll(topic, { from: new Date(0) })).length).toBe(values.length)
    expect((await topic.trim({ before: new Date(0) }))[0].first).toBe(0)
  })
})
