import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Ack, Producer, Topic, WalrusEvent } from '#actors/index.js'
import { Faults } from './faults.js'
import {
  errorOf,
  expectRefusal,
  openLog,
  randomOf,
  readAll,
  readValues,
  sendAll,
  startProcess,
  TestThread,
  temporaryDirectory,
} from './fixture.js'

const faults = new Faults()
const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_none, index) => `${from + index}`)

async function opened<Value>(topic: Topic<Value>, partition?: number): Promise<Producer<Value>> {
  const producer = topic.producer({ producerId: 'orders', partition })
  await producer.ready()
  return producer
}

describe('a named producer', () => {
  test('counts its records, and whoever opens the name again is told how far it came', async () => {
    const directory = temporaryDirectory()
    let walrus = await openLog(directory)
    let topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const first = await opened(topic)
    expect([first.lastSequence, first.lastSequences]).toEqual([-1, [-1]])
    await first.appendBatch(names(3))
    await first.append('3')
    await sendAll(first, names(1000, 4))
    await first.flush()
    expect(first.lastSequence).toBe(1003)
    const second = await opened(topic)
    expect(second.lastSequence).toBe(1003)
    await second.append('1004')
    await walrus.close()
    walrus = await openLog(directory)
    topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const third = await opened(topic)
    expect(third.lastSequence).toBe(1004)
    await third.append('1005')
    expect(await readValues(topic)).toEqual(names(1006))
    // Another name has nothing of it.
    const other = topic.producer({ producerId: 'order' })
    await other.ready()
    expect([other.lastSequence, other.id === third.id]).toEqual([-1, false])
  })

  test('takes what is sent before its name is open, in order', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = topic.producer({ producerId: 'orders' })
    expect(producer.send('too early')).toBe(false)
    expect(() => producer.lastSequence).toThrow('INVALID_ARGUMENT')
    expect(() => producer.id).toThrow('ready()')
    const acks = [producer.append('0'), producer.appendBatch(['1', '2']), producer.append('3')]
    await producer.flush()
    await Promise.all(acks)
    expect(await readValues(topic)).toEqual(names(4))
    await topic.producer({ producerId: 'unused' }).close()
  })

  test('is refused everything once its name was opened anew, whatever it had in hand', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const old = await opened(topic)
    await old.append('0')
    const both = [old.append('1'), topic.producer({ producerId: 'orders' })] as const
    const young = both[1]
    await young.ready()
    await both[0]
    expect(young.lastSequence).toBe(1)
    await young.append('2')
    await expectRefusal(old.append('x'), 'PRODUCER_FENCED')
    await expectRefusal(old.append('x'), 'PRODUCER_FENCED')
    await expectRefusal(() => old.send('x'), 'PRODUCER_FENCED')
    await expectRefusal(old.ready(), 'PRODUCER_FENCED')
    await expectRefusal(old.flush(), 'PRODUCER_FENCED', { unacknowledged: 1 })
    await old.close()
    expect(await readValues(topic)).toEqual(names(3))
  })

  test('of one partition leaves the others to their own', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
    const left = await opened(topic, 0)
    const right = await opened(topic, 1)
    await Promise.all([left.append('0'), right.append('0'), left.append('1')])
    expect([left.lastSequence, right.lastSequence]).toEqual([1, 0])
    const both = await opened(topic)
    expect(both.lastSequences).toEqual([1, 0])
    expect(() => both.lastSequence).toThrow('lastSequences')
    await both.append('2', { key: 'k' })
    for (const fenced of [left, right]) await expectRefusal(fenced.append('x'), 'PRODUCER_FENCED')
    expect(await readAll(topic)).toHaveLength(4)
  })

  test('of one partition does not hold up another one that is trimmed', async () => {
    const directory = temporaryDirectory()
    let walrus = await openLog(directory)
    let topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2, segmentEntries: 10 })
    await (await opened(topic, 0)).append('named')
    const other = topic.producer({ partition: 1 })
    for (const value of names(50)) await other.append(value)
    await topic.trim({ before: 45, partition: 1 })
    await walrus.close()
    walrus = await openLog(directory)
    topic = await walrus.topic<string>('t')
    expect((await opened(topic)).lastSequences).toEqual([0, -1])
    expect(await readValues(topic, 1)).toEqual(names(5, 45))
  })

  test('of which nothing is known any more is new, and the loss is told, where the mode allows to go on', async () => {
    const directory = temporaryDirectory()
    const first = await openLog(directory)
    const topic = await first.topic<string>('t', { codec: 'utf8', segmentEntries: 10 })
    const producer = await opened(topic)
    for (const value of names(50)) await producer.append(value)
    await topic.trim({ before: 45 })
    await first.close()
    // What was not sealed yet is, and what is forgotten goes.
    const again = await openLog(directory)
    await again.topic('t')
    await again.close()
    const files = fs.readdirSync(path.join(directory, 'default/t/0')).filter((name) => name.endsWith('.producers'))
    for (const name of files) fs.rmSync(path.join(directory, 'default/t/0', name))
    const strict = await openLog(directory)
    await expectRefusal(strict.topic('t'), 'SEGMENT_CORRUPT')
    await strict.close()
    const events: WalrusEvent[] = []
    const walrus = await openLog(directory, { recovery: 'tail', onEvent: (event) => events.push(event) })
    await walrus.topic('t')
    expect(events).toEqual([
      { type: 'recovered', writer: 0, topic: 't', partition: 0, cutBytes: 0, producersLost: true },
    ])
  })

  test('in another thread fences the one in this', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const own = await opened(topic)
    await own.append('0')
    const thread = new TestThread('named', { handle: walrus.handle(), topic: 't', values: ['1', '2'] })
    expect(await thread.next()).toEqual({ lastSequence: 0, offsets: [1, 2] })
    await expectRefusal(own.append('x'), 'PRODUCER_FENCED')
    const again = await opened(topic)
    expect(again.lastSequence).toBe(2)
    expect(await thread.ask('append')).toBe('PRODUCER_FENCED')
    expect(await readValues(topic)).toEqual(names(3))
  })
})

describe('sequences that are given', () => {
  test('leave a record there once, however often and in whatever pieces it is sent', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    await topic.producer().append('of nobody')
    const producer = await opened(topic)
    const random = randomOf('pieces')
    for (let done = 0; done < 600; ) {
      const from = Math.max(done - Math.floor(random() * 60), 0)
      const until = done + Math.floor(random() * 30)
      const acks: Promise<Ack | Ack[]>[] = []
      for (let sequence = from; sequence < until; ) {
        const count = Math.min(1 + Math.floor(random() * 5), until - sequence, sequence < done ? done - sequence : 9)
        const values = names(count, sequence)
        if (random() < 0.5) acks.push(producer.appendBatch(values, { sequence }))
        else for (const value of values) acks.push(producer.append(value, { sequence: Number(value) }))
        sequence += count
      }
      for (const [index, ack] of (await Promise.all(acks)).flat().entries()) {
        const isAgain = from + index < done
        expect(ack.duplicate).toBe(isAgain || undefined)
        if (!isAgain || ack.offset >= 0) expect(ack.offset).toBe(1 + from + index)
      }
      done = Math.max(done, until)
      expect(producer.lastSequence).toBe(done - 1)
    }
    expect((await readValues(topic)).slice(1)).toEqual(names(producer.lastSequence + 1))
  })

  test('that leave a gap, or are there in part, are refused by name with nothing taken', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = await opened(topic)
    await producer.appendBatch(names(3), { sequence: 0 })
    await expectRefusal(producer.append('x', { sequence: 4 }), 'OUT_OF_SEQUENCE', { expected: 3 })
    await expectRefusal(() => producer.send('x', { sequence: 9 }), 'OUT_OF_SEQUENCE', { expected: 3 })
    await expectRefusal(producer.appendBatch(names(3, 2), { sequence: 2 }), 'OUT_OF_SEQUENCE', { expected: 3 })
    expect(producer.send('3', { sequence: 3 })).toBe(true)
    await expectRefusal(() => producer.send('x', { sequence: 5 }), 'OUT_OF_SEQUENCE', { expected: 4 })
    expect(await producer.append('4')).toMatchObject({ offset: 4 })
    expect(await producer.append('4', { sequence: 4 })).toMatchObject({ offset: 4, duplicate: true })
    expect(await readValues(topic)).toEqual(names(5))
  })

  test('are acknowledged without an offset where nobody remembers it', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = await opened(topic)
    for (const value of names(100)) await producer.append(value)
    expect(await producer.append('0', { sequence: 0 })).toMatchObject({ offset: -1, duplicate: true })
    expect(await producer.appendBatch(names(2), { sequence: 0 })).toMatchObject([{ offset: -1 }, { offset: -1 }])
    expect(await readValues(topic)).toHaveLength(100)
  })

  test('need a name and one partition', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
    const many = await opened(topic)
    for (const producer of [topic.producer(), many]) {
      await expectRefusal(producer.append('x', { sequence: 0 }), 'INVALID_ARGUMENT', { field: 'sequence' })
      await expectRefusal(producer.appendBatch(['x'], { sequence: 0 }), 'INVALID_ARGUMENT', { field: 'sequence' })
    }
    const one = await opened(topic, 1)
    for (const sequence of [-1, 0.5, Number.NaN, 2 ** 60]) {
      await expectRefusal(one.append('x', { sequence }), 'INVALID_ARGUMENT', { field: 'sequence' })
    }
    for (const producerId of ['', 'x'.repeat(1001)])
      expect(() => topic.producer({ producerId })).toThrow('INVALID_ARGUMENT')
    expect(() => topic.producer().lastSequence).toThrow('producerId')
    expect(await readAll(topic)).toEqual([])
  })
})

describe('a failing disk', () => {
  test('refuses what is in flight, and what is sent again is there once and without a gap', async () => {
    const walrus = await openLog(undefined, { fileSystem: Faults.fileSystem, durability: 'disk', writerThreadsMax: 1 })
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 8192 })
    const producer = await opened(topic)
    let done = 0
    for (const [kind, at] of [
      ['write', 1],
      ['sync', 1],
      ['write', 2],
      ['sync', 2],
      ['create', 1],
    ] as const) {
      faults.inject({ action: 'EIO', at, kinds: [kind] })
      // Any number in flight, some of them refused, those behind as well.
      const appends = names(60, done).map((value) => producer.append(value.padEnd(300), { sequence: Number(value) }))
      const results = await Promise.allSettled(appends)
      faults.heal()
      const refused = results.findIndex(({ status }) => status === 'rejected')
      if (refused >= 0) {
        expect(results.slice(refused).every(({ status }) => status === 'rejected')).toBe(true)
        const codes = results.slice(refused).map((result) => (result as PromiseRejectedResult).reason.code)
        expect(codes[0]).toBe('SEGMENT_POISONED')
        // What was published only after that is refused for the gap.
        for (const code of codes) expect(['SEGMENT_POISONED', 'OUT_OF_SEQUENCE']).toContain(code)
        await producer.flush().catch(() => {})
        expect(producer.lastSequence).toBe(done + refused - 1)
      }
      // All of them once more: what was accepted is there, what was not is taken now.
      for (const value of names(60, done)) await producer.append(value.padEnd(300), { sequence: Number(value) })
      done += 60
    }
    expect((await readValues(topic)).map((value) => value.trim())).toEqual(names(done))
    // And without sequences of the caller's.
    faults.inject({ action: 'EIO', at: 1, kinds: ['write'] })
    expect((await errorOf(producer.append('lost'))).code).toBe('SEGMENT_POISONED')
    faults.heal()
    expect(await producer.append('kept')).toMatchObject({ offset: done })
    expect(producer.lastSequence).toBe(done)
  })
})

describe('a writer that dies', () => {
  test('leaves each record of a named producer there once, and the older fenced', async () => {
    for (const durability of ['os', 'disk'] as const) {
      for (let first = 1; ; first += 5) {
        const walrus = await openLog(undefined, { fileSystem: Faults.fileSystem, durability, writerThreadsMax: 1 })
        let isOver = false
        for (let at = first; at < first + 5; at++) {
          const topic = await walrus.topic<string>(`t${at}`, { codec: 'utf8', segmentBytes: 4096 })
          const old = await opened(topic)
          await old.append('0'.padEnd(300))
          const producer = await opened(topic)
          faults.inject({ action: 'exit 1', at, when: at % 2 ? 'before' : 'after', roles: ['writer'] })
          const appends = names(40, 1).map((value) => producer.append(value.padEnd(300), { sequence: Number(value) }))
          const again = names(40, 1).map((value) => producer.append(value.padEnd(300), { sequence: Number(value) }))
          const acks = await Promise.all([...appends, ...again])
          isOver = faults.fired === 0
          faults.heal()
          for (const [index, ack] of acks.entries()) expect(ack.offset).toBe(1 + (index % 40))
          await expectRefusal(old.append('x'), 'PRODUCER_FENCED')
          await expectRefusal(old.close(), 'PRODUCER_FENCED')
          const values = await readValues(topic)
          expect(values.map((value) => value.trim())).toEqual(names(41))
        }
        await walrus.close()
        if (!isOver) continue
        expect(first).toBeGreaterThan(1)
        break
      }
    }
  })

  test('while a name is opened: the opening waits for its successor, and tells the truth', async () => {
    for (const at of [1, 2, 3, 4]) {
      const walrus = await openLog(undefined, {
        fileSystem: Faults.fileSystem,
        durability: 'disk',
        writerThreadsMax: 1,
      })
      const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 4096 })
      const old = await opened(topic)
      const appends = names(30).map((value) => old.append(value.padEnd(300)))
      faults.inject({ action: 'exit 1', at, roles: ['writer'] })
      const young = await opened(topic)
      faults.heal()
      const results = await Promise.allSettled(appends)
      const accepted = results.filter(({ status }) => status === 'fulfilled').length
      expect(young.lastSequence).toBe(accepted - 1)
      await young.append(`${accepted}`)
      expect((await readValues(topic)).map((value) => value.trim())).toEqual(names(accepted + 1))
      await walrus.close()
    }
  })
})

test('kill -9 at any moment, again and again, with everything of the last second sent once more: each record is there once', async () => {
  const random = randomOf('kill named')
  const directory = temporaryDirectory()
  const acknowledged = [-1, -1]
  const epochs = [0, 0]
  for (let run = 0; run < 8; run++) {
    const child = startProcess('named-ingest', { directory, back: run % 3 === 0 ? 0 : Math.floor(random() * 80) })
    const killAfter = 1 + Math.floor(random() ** 2 * 60)
    let heard = 0
    const heardOf = new Set<number>()
    child.on('message', (message) => {
      const { partition, sequence } = message as { partition: number; sequence: number }
      heardOf.add(partition)
      acknowledged[partition] = Math.max(acknowledged[partition], sequence)
      if (++heard >= killAfter) child.kill('SIGKILL')
    })
    await once(child, 'close')
    expect(child.signalCode).toBe('SIGKILL')
    // The epoch of each opening was on the disk before anything came of it: none is given out twice.
    const { producers } = JSON.parse(fs.readFileSync(path.join(directory, 'default/t/producers.json'), 'utf8'))
    for (const partition of heardOf) {
      const { epoch } = producers[`stream-${partition}`]
      expect(epoch).toBeGreaterThan(epochs[partition])
      epochs[partition] = epoch
    }
    const walrus = await openLog(directory)
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 2 })
    for (const partition of [0, 1]) {
      const values = (await readValues(topic, partition)).map((value) => value.trim())
      expect(values).toEqual(names(values.length))
      expect(values.length).toBeGreaterThan(acknowledged[partition])
    }
    await walrus.close()
  }
})
