import { describe, expect, test } from 'vitest'
import type { Ack, OpenOptions, Topic, Walrus, WriterEvent } from '#actors/index.js'
import { type Fault, type FaultAction, Faults } from './faults.js'
import { expectRefusal, openLog, readAll, readValues, runProcess, sendAll, temporaryDirectory } from './fixture.js'

const faults = new Faults()

async function openFaulty(options: OpenOptions = {}): Promise<{ walrus: Walrus; events: WriterEvent[]; directory: string }> {
  const events: WriterEvent[] = []
  const directory = temporaryDirectory()
  const walrus = await openLog(directory, {
    writerThreadsMax: 1,
    fileSystem: Faults.fileSystem,
    onEvent: (event) => events.push(event),
    ...options,
  })
  return { walrus, events, directory }
}

/** Two producers to one partition of tiny segments: single appends, batches and sends, with several rolls. */
async function work(topic: Topic<string>): Promise<{ acks: [string, Ack][]; sent: string[] }> {
  const producers = [topic.producer(), topic.producer()]
  const acks: [string, Ack][] = []
  const sent: string[] = []
  const jobs = producers.map(async (producer, number) => {
    for (let round = 0; round < 4; round++) {
      const name = (index: number): string => `${number} ${String(round * 10 + index).padStart(2, '0')} ${'x'.repeat(300)}`
      await sendAll(producer, [name(0), name(1)])
      sent.push(name(0), name(1))
      acks.push([name(2), await producer.append(name(2))])
      const values = [name(3), name(4), name(5)]
      const batch = await producer.appendBatch(values)
      for (const [index, value] of values.entries()) acks.push([value, batch[index]])
    }
    await producer.flush()
  })
  await Promise.all(jobs)
  return { acks, sent }
}

/** Every record is there once, at the offset of its acknowledgement, each producer's in the order of its calls. */
async function expectWhole(topic: Topic<string>, { acks, sent }: Awaited<ReturnType<typeof work>>): Promise<void> {
  const values = await readValues(topic)
  expect([...values].sort()).toEqual([...sent, ...acks.map(([value]) => value)].sort())
  for (const [value, ack] of acks) expect(values[ack.offset]).toBe(value)
  for (const number of ['0', '1']) {
    const own = values.filter((value) => value.startsWith(number))
    expect(own).toEqual([...own].sort())
  }
}

async function dieOnce(fault: Fault, durability: OpenOptions['durability']): Promise<'died' | 'too late'> {
  const { walrus, events, directory } = await openFaulty({ durability })
  const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 4096 })
  faults.inject(fault)
  const done = await work(topic)
  const { fired } = faults
  await expectWhole(topic, done)
  await walrus.close()
  const again = await openLog(directory, { writerThreadsMax: 1 })
  await expectWhole(await again.topic<string>('t'), done)
  await again.close()
  if (fired === 0) return 'too late'
  if (fault.action !== 'throw') expect(events.map(({ type }) => type)).toContain('writer-restarted')
  return 'died'
}

describe('a writer that dies leaves no gap and no duplicate, and no producer waiting', () => {
  for (const durability of ['os', 'disk'] as const) {
    for (const when of ['before', 'after'] as const) {
      test(`${when} any of its calls to the file system, durability ${durability}`, async () => {
        let at = 1
        while ((await dieOnce({ action: at % 2 ? 'exit 0' : 'exit 1', at, when, roles: ['writer'] }, durability)) === 'died') at += 1
        expect(at).toBeGreaterThan(10)
      })
    }
  }

  test('before any call of its sync thread', async () => {
    let at = 1
    for (; at < 12; at += 2) {
      const fault: Fault = { action: 'exit 1', at, when: at % 4 === 1 ? 'before' : 'after', roles: ['sync'] }
      if ((await dieOnce(fault, 'disk')) === 'too late') break
    }
    expect(at).toBeGreaterThan(1)
  })
})
void readAll
void runProcess
void expectRefusal
export type { FaultAction }
