import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Batch, Gap, ReadOptions, Topic } from '#actors/index.js'
import { expectRefusal, openLog, readAll, TestThread, temporaryDirectory } from './fixture.js'

/** Six records in batches of their own; the third one's bytes are damaged. */
async function damagedLog(): Promise<string> {
  const directory = temporaryDirectory()
  const log = await openLog(directory, { durability: 'disk' })
  const producer = (await log.topic<string>('t', { codec: 'utf8' })).producer()
  for (let n = 0; n < 6; n++) await producer.append(`value ${n}`)
  await log.close()
  damage(directory, 'value 2')
  return directory
}

function damage(directory: string, value: string): void {
  const file = path.join(directory, 'default/t/0', `${'0'.repeat(20)}.log`)
  const bytes = fs.readFileSync(file)
  bytes[bytes.indexOf(value)] ^= 1
  fs.writeFileSync(file, bytes)
}

async function readItems(topic: Topic<string>, options: ReadOptions = {}): Promise<string[]> {
  const items: string[] = []
  const show = (item: Batch<string> | Gap): string[] => {
    if (item.gap === undefined) return Array.from(item, ({ offset }) => String(offset))
    expect([...item]).toEqual([])
    return [`${item.gap} ${item.partition}/${item.from}-${item.to}`]
  }
  for await (const item of topic.read(options)) items.push(...show(item))
  return items
}

describe("a log opened with recovery: 'skip'", () => {
  it('hands out a gap in place of what is gone, and goes on; the loss is accepted from then on', async () => {
    const directory = await damagedLog()
    const strict = await openLog(directory)
    await expectRefusal(strict.topic('t'), 'SEGMENT_CORRUPT', { offset: 2 })
    await strict.close()
    const log = await openLog(directory, { recovery: 'skip' })
    const topic = await log.topic<string>('t')
    expect((await topic.producer().append('after')).offset).toBe(6)
    const all = ['0', '1', 'data-loss 0/2-3', '3', '4', '5', '6']
    expect(await readItems(topic)).toEqual(all)
    expect(await readItems(topic, { from: 2 })).toEqual(all.slice(2))
    expect(await readItems(topic, { from: 3 })).toEqual(all.slice(3))
    expect((await readAll(topic)).map(({ offset }) => offset)).toEqual([0, 1, 3, 4, 5, 6])
    const reader = new TestThread('reader', { handle: log.handle(), topic: 't', count: 6, readAhead: false })
    await reader.next()
    expect(await reader.next()).toEqual({ records: 6, gaps: [[0, 3]] })
    await log.close()
    const again = await openLog(directory)
    expect(await readItems(await again.topic<string>('t'))).toEqual(all)
  })
  it('forgets by time up to the record that was asked for, and no more, though a gap lies before it', async () => {
    const directory = temporaryDirectory()
    const log = await openLog(directory, { durability: 'disk' })
    const producer = (await log.topic<string>('t', { codec: 'utf8' })).producer()
    for (let n = 0; n < 6; n++) await producer.append(`value ${n}`, { timestamp: 1000 + n })
    await log.close()
    damage(directory, 'value 2')
    const skipping = await openLog(directory, { recovery: 'skip' })
    const topic = await skipping.topic<string>('t')
    expect(await topic.trim({ before: new Date(1004) })).toEqual([{ partition: 0, first: 4, next: 6 }])
    expect((await readAll(topic)).map(({ offset }) => offset)).toEqual([4, 5])
  })
})
