import { describe, expect, test } from 'vitest'
import type { Ack, OpenOptions, Topic, Walrus, WalrusEvent } from '#actors/index.js'
import { type Fault, Faults } from './faults.js'
import { expectRefusal, openLog, randomOf, readValues, runProcess, sendAll, temporaryDirectory } from './fixture.js'
import { writerThreads } from './writer-threads.js'

const faults = new Faults()

interface FaultyLog {
  walrus: Walrus
  events: WalrusEvent[]
  directory: string
}

async function openFaulty(options: OpenOptions = {}): Promise<FaultyLog> {
  const events: WalrusEvent[] = []
  const directory = temporaryDirectory()
  const onEvent = (event: WalrusEvent): void => void events.push(event)
  const walrus = await openLog(directory, { writerThreadsMax: 1, fileSystem: Faults.fileSystem, onEvent, ...options })
  return { walrus, events, directory }
}

interface Done {
  acks: [string, Ack][]
  sent: string[]
}

/** Two producers to one partition of tiny segments: single appends, batches and sends, with several rolls. */
async function work(topic: Topic<string>, rounds = 2): Promise<Done> {
  const producers = [topic.producer(), topic.producer()]
  const done: Done = { acks: [], sent: [] }
  const jobs = producers.map(async (producer, number) => {
    for (let round = 0; round < rounds; round++) {
      const name = (index: number): string =>
        `${number} ${String(round * 10 + index).padStart(6, '0')} ${'x'.repeat(300)}`
      await sendAll(producer, [name(0), name(1)])
      done.sent.push(name(0), name(1))
      done.acks.push([name(2), await producer.append(name(2))])
      const values = [name(3), name(4), name(5)]
      const batch = await producer.appendBatch(values)
      for (const [index, value] of values.entries()) done.acks.push([value, batch[index]])
    }
    await producer.close()
  })
  await Promise.all(jobs)
  return done
}

/** Every record is there once, at the offset of its acknowledgement, each producer's in the order of its calls. */
async function expectWhole(topic: Topic<string>, { acks, sent }: Done): Promise<void> {
  const short = (value: string): string => value.slice(0, 8)
  const values = (await readValues(topic)).map(short)
  expect([...values].sort()).toEqual([...sent, ...acks.map(([value]) => value)].map(short).sort())
  for (const [value, ack] of acks) expect(values[ack.offset]).toBe(short(value))
  for (const number of ['0', '1']) {
    const own = values.filter((value) => value.startsWith(number))
    expect(own).toEqual([...own].sort())
  }
}

/** A writer may die this often in one log before the pauses between its restarts become long. */
const DEATHS_A_LOG = 5

/** Runs the workload with each fault, a topic each; returns whether the last one came before the workload's end. */
async function dieInTurn(planned: Fault[], durability: OpenOptions['durability']): Promise<boolean> {
  const { walrus, events, directory } = await openFaulty({ durability })
  const all: Done[] = []
  let deaths = 0
  for (const [index, fault] of planned.entries()) {
    const topic = await walrus.topic<string>(`t${index}`, { codec: 'utf8', segmentBytes: 4096 })
    faults.inject(fault)
    const done = await work(topic)
    faults.heal()
    await expectWhole(topic, done)
    all.push(done)
    deaths += faults.fired
  }
  const wasInTime = faults.fired > 0
  await walrus.close()
  const again = await openLog(directory, { writerThreadsMax: 1 })
  for (const [index, done] of all.entries()) await expectWhole(await again.topic<string>(`t${index}`), done)
  await again.close()
  expect(events.filter(({ type }) => type === 'writer-restarted')).toHaveLength(deaths)
  return wasInTime
}

describe('a writer that dies leaves no gap, no duplicate, and nobody waiting', () => {
  for (const durability of ['os', 'disk'] as const) {
    for (const when of ['before', 'after'] as const) {
      test(`${when} any call to the file system that changes something, durability ${durability}`, async () => {
        for (let first = 1; ; first += DEATHS_A_LOG) {
          const planned = Array.from({ length: DEATHS_A_LOG }, (_none, index): Fault => {
            const at = first + index
            return { action: at % 2 ? 'exit 0' : 'exit 1', at, when, roles: ['writer'] }
          })
          if (await dieInTurn(planned, durability)) continue
          expect(first).toBeGreaterThan(5)
          break
        }
      })
    }
  }

  test('when it is its sync thread that dies', async () => {
    for (const first of [1, 5]) {
      const planned = [0, 1, 2].map(
        (index): Fault => ({
          action: 'exit 1',
          at: first + index,
          when: index % 2 ? 'before' : 'after',
          roles: ['sync'],
        }),
      )
      await dieInTurn(planned, 'disk')
    }
  })

  test('when it is terminated from outside, again and again, under load', async () => {
    const random = randomOf('terminate')
    const threads = writerThreads()
    const { walrus, events } = await openFaulty({ durability: 'disk', fileSystem: undefined })
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 16 << 10 })
    let isDone = false
    const working = work(topic, 300).finally(() => {
      isDone = true
    })
    for (let deaths = 0; deaths < 4; deaths++) {
      const restarts = events.filter(({ type }) => type === 'writer-restarted').length
      const records = walrus.stats().records
      const until = records + Math.floor(random() * 300)
      while (!isDone && walrus.stats().records < until) await new Promise((resolve) => setImmediate(resolve))
      const alive = threads.alive()
      void alive[Math.floor(random() * alive.length)].terminate()
      while (events.filter(({ type }) => type === 'writer-restarted').length === restarts)
        await new Promise((resolve) => setImmediate(resolve))
    }
    await expectWhole(topic, await working)
  })

  test('when it dies while the log is being closed', async () => {
    for (const at of [1, 2, 3, 5, 8, 13, 21, 34, 55]) {
      const { walrus, directory } = await openFaulty({ durability: { everyMs: 3_600_000 } })
      const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 4096 })
      const done = await work(topic, 2)
      faults.inject({ action: 'exit 1', at })
      await walrus.close()
      const isOver = faults.fired === 0
      faults.heal()
      const again = await openLog(directory)
      await expectWhole(await again.topic<string>('t'), done)
      await again.close()
      if (isOver) break
    }
  })

  test('when it runs out of memory', async () => {
    const { messages, code } = await runProcess('out-of-memory', { directory: temporaryDirectory() }, [
      '--max-old-space-size=40',
    ])
    expect(messages).toEqual(['out-of-memory', { appended: 60, read: 60 }])
    expect(code).toBe(0)
  })

  test('when it throws what nobody expects, what was appended is there or was refused', async () => {
    const { walrus, directory } = await openFaulty()
    const keptOf = new Map<string, string[]>()
    for (const at of [1, 2, 3, 4, 5, 7, 10, 14, 19, 25]) {
      const topic = await walrus.topic<string>(`t${at}`, { codec: 'utf8', segmentBytes: 4096 })
      const producer = topic.producer()
      faults.inject({ action: 'throw', at, kinds: ['create', 'write', 'truncate', 'look'], roles: ['writer'] })
      const kept: string[] = []
      for (let index = 0; index < 20; index++) {
        const value = `${index}`.padEnd(500)
        await producer.append(value).then(
          () => kept.push(value),
          () => {},
        )
      }
      faults.heal()
      expect(kept.length).toBeGreaterThanOrEqual(19)
      expect(await readValues(topic)).toEqual(kept)
      keptOf.set(topic.name, kept)
    }
    await walrus.close().catch(() => {})
    const again = await openLog(directory)
    for (const [name, kept] of keptOf) expect(await readValues(await again.topic<string>(name))).toEqual(kept)
  })
})

test('a writer that dies too often is given up: all that waits is refused, and close ends', async () => {
  const { walrus, events } = await openFaulty()
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  const producer = topic.producer()
  await producer.append('before')
  faults.inject({ action: 'exit 1', at: 1, times: 1_000_000, kinds: ['look', 'write'], roles: ['writer'] })
  const waiting = [producer.append('a'), producer.appendBatch(['b', 'c'])]
  producer.send('d')
  const refused = waiting.map((append) => expectRefusal(append, 'WRITER_FAILED'))
  const flushed = expectRefusal(producer.flush(), 'WRITER_FAILED', { unacknowledged: 4 })
  await Promise.all([...refused, flushed])
  expect(events.at(-1)).toMatchObject({ type: 'writer-failed' })
  faults.heal()
  await expectRefusal(producer.append('late'), 'WRITER_FAILED')
  await expectRefusal(() => producer.send('late'), 'WRITER_FAILED')
  await expectRefusal(topic.producer().append('late'), 'WRITER_FAILED')
  await producer.close()
  await walrus.close()
})
