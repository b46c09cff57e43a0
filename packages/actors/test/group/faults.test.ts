import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Topic, Walrus, WalrusError, WalrusEvent } from '#actors/index.js'
import { type Fault, Faults } from '../log/faults.js'
import { errorOf, openLog, TestThread, temporaryDirectory } from '../log/fixture.js'

const faults = new Faults()
/** Few: a writer that dies too often within a minute is given up. */
const RECORDS = 3

async function openFaulty(directory: string): Promise<{ walrus: Walrus; topic: Topic<string> }> {
  const walrus = await openLog(directory, { writerThreadsMax: 1, fileSystem: Faults.fileSystem })
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  return { walrus, topic }
}

/** Takes all records of the topic, asking again where it is refused; the codes of refusals. */
async function consume(topic: Topic<string>, group: string): Promise<{ values: string[]; codes: string[] }> {
  const consumer = topic.consumer(group)
  await consumer.lag()
  faults.inject(fault)
  const records = consumer[Symbol.asyncIterator]()
  const values: string[] = []
  const codes: string[] = []
  const insist = async <Result>(action: () => Promise<Result>): Promise<Result> => {
    for (;;) {
      try {
        return await action()
      } catch (error) {
        codes.push((error as WalrusError).code)
        if (codes.length > 3) throw error
      }
    }
  }
  while (values.length < RECORDS) values.push((await insist(() => records.next())).value!.value)
  await insist(() => consumer.commit())
  faults.heal()
  await consumer.close()
  return { values, codes }
}

let fault: Fault

describe('with checkpoint each, nothing is handed out twice and nothing is skipped when the cursor’s', () => {
  test.each<[string, Omit<Fault, 'at'>, string[]]>([
    ['write finds no room', { action: 'ENOSPC', kinds: ['write'] }, ['DISK_FULL']],
    ['sync fails', { action: 'EIO', kinds: ['sync'] }, ['SEGMENT_POISONED']],
    ['writer dies before any of its calls', { action: 'exit 1' }, []],
  ])('%s', async (_name, kind, codesWanted) => {
    const directory = temporaryDirectory()
    const { walrus, topic } = await openFaulty(directory)
    for (let index = 0; index < RECORDS; index++) await topic.producer().append(String(index))
    const seen = new Set<string>()
    let groups = 0
    for (let at = 1; at < 40; at++) {
      fault = { ...kind, at }
      const { values, codes } = await consume(topic, `g${groups++}`)
      expect(values, `at call ${at}`).toEqual(['0', '1', '2'])
      for (const code of codes) seen.add(code)
      if (faults.fired === 0) break
    }
    expect(groups).toBeGreaterThan(3)
    expect([...seen]).toEqual(codesWanted)
    await walrus.close()
    const again = await openFaulty(directory)
    const stats = await again.topic.stats()
    expect(stats.groups).toHaveLength(groups)
    expect(stats.groups.filter(({ lag }) => lag > 0)).toEqual([])
  })
})

test('a cursor before the first offset that exists goes on with that one, and says so', async () => {
  const directory = temporaryDirectory()
  const walrus = await openLog(directory)
  const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentEntries: 2 })
  for (let index = 0; index < 7; index++) await topic.producer().append(String(index))
  const consumer = topic.consumer('g')
  await consumer.read(1)
  await consumer.close()
  await walrus.close()
  // As retention leaves it.
  for (const base of [0, 2]) {
    for (const kind of ['index', 'log']) {
      fs.rmSync(path.join(directory, 'default', 't', '0', `${String(base).padStart(20, '0')}.${kind}`))
    }
  }
  const events: WalrusEvent[] = []
  const again = await openLog(directory, { onEvent: (event) => events.push(event) })
  const records = await (await again.topic<string>('t')).consumer('g').read()
  expect(records.map(({ value }) => value)).toEqual(['4', '5', '6'])
  expect(events).toEqual([
    { type: 'cursor-moved', reason: 'trimmed', topic: 't', partition: 0, group: 'g', from: 1, to: 4 },
  ])
})

test('a cursor log that is damaged is told to those who consume, and hinders nobody else', async () => {
  const directory = temporaryDirectory()
  const walrus = await openLog(directory)
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  await topic.producer().append('0')
  const consumer = topic.consumer('g')
  await consumer.read()
  await consumer.close()
  await walrus.close()
  const file = path.join(directory, 'default', '__cursors', '0', `${'0'.repeat(20)}.log`)
  const bytes = fs.readFileSync(file)
  // In the first batch, which the second one knew as acknowledged.
  bytes[64 + 100] ^= 1
  fs.writeFileSync(file, bytes)
  const again = await openLog(directory)
  const same = await again.topic<string>('t')
  expect(await same.producer().append('1')).toMatchObject({ offset: 1 })
  expect(await errorOf(same.consumer('g').read())).toMatchObject({ code: 'SEGMENT_CORRUPT', file })
})

test('a consumer in an attached thread is told when its log is closed', async () => {
  const walrus = await openLog()
  await walrus.topic('t', { codec: 'utf8' })
  const log = new SharedArrayBuffer(64)
  const thread = new TestThread('consumer', { handle: walrus.handle(), group: 'g', checkpoint: 'each', log })
  await thread.next()
  await walrus.close()
  const error = await errorOf(thread.next())
  expect(error).toMatchObject({ code: 'CLOSED' })
})
