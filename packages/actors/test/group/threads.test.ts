import { describe, expect, test } from 'vitest'
import { GroupService } from '#actors/group/group-service.js'
import { type ConsumerOptions, type Topic, Walrus } from '#actors/index.js'
import { errorOf, expectRefusal, openLog, randomOf, TestThread } from '../log/fixture.js'

const PARTITIONS = 4

/** A consumer in a thread of its own. */
class ConsumerThread {
  readonly words: Int32Array
  readonly thread: TestThread
  /** It was ended in the middle of whatever it did. */
  wasKilled = false

  constructor(walrus: Walrus, checkpoint: ConsumerOptions['checkpoint'], end?: 'forget' | 'throw' | 'exit') {
    const log = new SharedArrayBuffer(4 * 20_000)
    this.words = new Int32Array(log)
    this.thread = new TestThread('consumer', { handle: walrus.handle(), group: 'g', checkpoint, log, end })
  }

  /** The numbers that it was handed, in order. */
  get handed(): number[] {
    return [...this.words.subarray(1, 1 + Atomics.load(this.words, 0))]
  }

  joined(): Promise<unknown> {
    return this.thread.next()
  }

  async kill(): Promise<void> {
    this.wasKilled = true
    await this.thread.worker.terminate()
  }

  async close(): Promise<void> {
    this.thread.post('close')
    await this.thread.ended
  }
}

/** Appends the numbers from `from` on, to all partitions. */
async function append(topic: Topic<string>, from: number, count: number): Promise<void> {
  const producers = Array.from({ length: PARTITIONS }, (_none, partition) => topic.producer({ partition }))
  for (let value = from; value < from + count; value++) {
    while (!producers[value % PARTITIONS].send(String(value))) await producers[value % PARTITIONS].ready()
    if (value % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const producer of producers) await producer.close()
}

/** Resolves when every number below `count` was handed to somebody. */
async function allHanded(consumers: readonly ConsumerThread[], count: number): Promise<void> {
  for (;;) {
    const seen = new Set(consumers.flatMap(({ handed }) => handed))
    if (seen.size === count) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('consumers of one group in several threads', () => {
  const cases = [
    ['each', 1],
    [{ every: 20 }, 20],
  ] as const

  test.each(cases)(
    'share the partitions as they join, leave and are killed under load, with checkpoint %j',
    async (checkpoint, repeatsMax) => {
      const random = randomOf(`consumers ${JSON.stringify(checkpoint)}`)
      const walrus = await openLog()
      const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS, segmentBytes: 64 << 10 })
      const count = 2000
      const appending = append(topic, 0, count)
      const all: ConsumerThread[] = []
      let alive: ConsumerThread[] = []
      const start = async (): Promise<void> => {
        const consumer = new ConsumerThread(walrus, checkpoint)
        all.push(consumer)
        alive.push(consumer)
        await consumer.joined()
      }
      await start()
      for (let change = 0; change < 10; change++) {
        const kind = random()
        if (alive.length < 2 || (kind < 0.4 && alive.length < 4)) {
          await start()
          continue
        }
        const [leaver] = alive.splice(Math.floor(random() * alive.length), 1)
        if (kind < 0.75) await leaver.kill()
        else await leaver.close()
      }
      await appending
      if (alive.length === 0) await start()
      await allHanded(all, count)
      await Promise.all(alive.map((consumer) => consumer.close()))
      alive = []
      expectPromises(all, repeatsMax)
      const { groups } = await topic.stats()
      expect(groups).toMatchObject([{ group: 'g', members: 0, lag: 0 }])
    },
  )

  test.each(['throw', 'exit'] as const)('lose nothing to a thread that ends by %s', async (end) => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    await append(topic, 0, 200)
    const doomed = new ConsumerThread(walrus, 'each', end)
    await doomed.joined()
    await doomed.thread.ended
    doomed.wasKilled = true
    const heir = new ConsumerThread(walrus, 'each')
    await allHanded([doomed, heir], 200)
    await heir.close()
    expectPromises([doomed, heir], 1)
  })

  test('let a thread end that has nothing else to do, and take over from it', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    await append(topic, 0, 40)
    const idle = new ConsumerThread(walrus, 'each', 'forget')
    const consumer = topic.consumer('g', { follow: true })
    await idle.joined()
    expect(await idle.thread.ended).toBe(0)
    const seen: number[] = []
    for await (const { value } of consumer) if (seen.push(Number(value)) === 40) break
    expect(seen.sort((left, right) => left - right)).toEqual(Array.from({ length: 40 }, (_none, index) => index))
  })

  test('share with consumers in the thread of the log, which get what others give up', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    await append(topic, 0, 80)
    const [first, second] = [topic.consumer('g'), topic.consumer('g')]
    expect(await first.lag()).toBe(80)
    // The first has nothing in hand: it gives up what the second is to have without being asked for anything.
    while ((await second.lag()) < 40) await new Promise((resolve) => setImmediate(resolve))
    expect(await first.lag()).toBe(40)
    const mine = await first.read()
    const third = new ConsumerThread(walrus, 'each')
    await third.joined()
    // What is in hand stays where it is until more is asked for.
    expect(mine).toHaveLength(40)
    expect(await first.read()).toEqual([])
    await second.close()
    await allHanded([third], 40)
    await first.close()
    await third.close()
    expect([...mine.map(({ value }) => Number(value)), ...third.handed].sort((left, right) => left - right)).toEqual(
      Array.from({ length: 80 }, (_none, index) => index),
    )
  })

  test('come and go at the same moment, and each partition is somebody’s in the end', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    const threads = Array.from({ length: 3 }, () => new ConsumerThread(walrus, 'each'))
    for (let round = 0; round < 20; round++) {
      const consumers = Array.from({ length: 5 }, () => topic.consumer('g', { checkpoint: { every: 2 } }))
      await append(topic, round * 8, 8)
      await Promise.all(consumers.map((consumer, index) => (index % 2 === 0 ? consumer.close() : consumer.lag())))
      await Promise.all(consumers.map((consumer) => consumer.close()))
    }
    await allHanded(threads, 160)
    await Promise.all(threads.map((consumer) => consumer.close()))
    expectPromises(threads, 0)
    expect((await topic.stats()).groups).toMatchObject([{ members: 0, lag: 0 }])
  })

  test('share with consumers of the same thread that attached to the log', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    await append(topic, 0, 80)
    const first = topic.consumer('g')
    expect(await first.lag()).toBe(80)
    const attached = await Walrus.attach(walrus.handle())
    const second = (await attached.topic<string>('t')).consumer('g')
    while ((await second.lag()) < 40) await new Promise((resolve) => setImmediate(resolve))
    expect(await second.read()).toHaveLength(40)
    await second.commit()
    await attached.close()
    expect(await errorOf(second.read())).toMatchObject({ code: 'CLOSED' })
    const rest: unknown[] = []
    for await (const { value } of first) if (rest.push(value) === 40) break
    await first.close()
    expect((await topic.stats()).groups).toMatchObject([{ lag: 0 }])
  })

  test('leave nothing of their group in memory, and come back to where it was', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    const service = GroupService.local(walrus.handle().host)!
    await append(topic, 0, 40)
    const killed = new ConsumerThread(walrus, 'each')
    await killed.joined()
    for (let round = 0; round < 10; round++) {
      const consumers = ['g', `g${round}`].map((group) => topic.consumer(group, { checkpoint: { every: 5 } }))
      await Promise.all(consumers.map((consumer) => consumer.read(3)))
      expect(service.groups.sort()).toEqual(['t/g', `t/g${round}`].sort())
      await Promise.all(consumers.map((consumer) => consumer.close()))
    }
    await killed.kill()
    while (service.groups.length > 0) await new Promise((resolve) => setImmediate(resolve))
    expect((await topic.stats()).groups).toHaveLength(11)
    const again = topic.consumer('g0')
    expect(await again.lag()).toBe(37)
    await again.close()
    await expectRefusal(
      topic
        .consumer('g', { from: 41 })
        .read()
        .then(() => topic.consumer('new', { from: 41 }).read()),
      'OFFSET_OUT_OF_RANGE',
    )
  })

  test('tell who commits too late that the partition is another’s', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    await append(topic, 0, 8)
    const first = topic.consumer('g', { checkpoint: 'manual' })
    expect(await first.read()).toHaveLength(8)
    const second = topic.consumer('g', { checkpoint: 'manual' })
    await second.lag()
    // Asking for more hands over half of what was read, without a commit.
    expect(await first.read()).toEqual([])
    await expect(first.commit()).rejects.toMatchObject({ code: 'CONSUMER_FENCED' })
    await first.commit()
    const again: unknown[] = []
    for await (const { value } of second) if (again.push(value) === 4) break
    await second.commit()
    expect((await topic.stats()).groups).toMatchObject([{ members: 2, lag: 0 }])
  })
})

/** Every number was handed out; twice only what a thread had in hand, or not committed, as it was killed. */
function expectPromises(consumers: readonly ConsumerThread[], repeatsMax: number): void {
  const counts = new Map<number, number>()
  for (const { handed } of consumers) for (const value of handed) counts.set(value, (counts.get(value) ?? 0) + 1)
  const repeats = new Map([...counts].map(([value, count]) => [value, count - 1]))
  for (const { handed, wasKilled } of consumers) {
    for (const partition of Array.from({ length: PARTITIONS }, (_none, index) => index)) {
      const own = handed.filter((value) => value % PARTITIONS === partition)
      expect(own).toEqual([...new Set(own)].sort((left, right) => left - right))
    }
    if (!wasKilled) continue
    for (const value of handed.slice(-repeatsMax)) {
      const count = repeats.get(value) ?? 0
      if (count > 0) repeats.set(value, count - 1)
    }
  }
  expect([...repeats].filter(([, count]) => count > 0)).toEqual([])
}
