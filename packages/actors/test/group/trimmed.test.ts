import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import type { Consumer, Topic, Walrus, WalrusEvent } from '#actors/index.js'
import { openLog, randomOf, TestThread, temporaryDirectory } from '../log/fixture.js'

// A consumer never skips a record that is kept: where the offsets that a group's members were handed jump, the log says so.

const PARTITIONS = 3
const GROUP = 'g'
type Range = [from: number, to: number]

/** Numbers whose offset in partition `number % PARTITIONS` is `number / PARTITIONS`, in small batches. */
async function append(topic: Topic<string>, from: number, count: number): Promise<void> {
  const producers = Array.from({ length: PARTITIONS }, (_none, partition) => topic.producer({ partition }))
  for (let number = from; number < from + count; number++) {
    const producer = producers[number % PARTITIONS]
    while (!producer.send(String(number))) await producer.ready()
    if (number % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const producer of producers) await producer.close()
}

/** Damages one batch in the first segment of each partition, so that a log that opens with `skip` has a gap there. */
function damage(directory: string): void {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const of = path.join(directory, 'default/t', String(partition))
    const name = path.join(
      of,
      fs
        .readdirSync(of)
        .filter((name) => name.endsWith('.log'))
        .sort()[1],
    )
    const bytes = fs.readFileSync(name)
    bytes[Math.floor(bytes.length / 2)] ^= 0xff
    fs.writeFileSync(name, bytes)
  }
}

/** What was handed out, wherever. */
class Handed {
  readonly ranges: Range[][] = Array.from({ length: PARTITIONS }, () => [])
  #words: Int32Array[] = []

  note(partition: number, offset: number): void {
    this.ranges[partition].push([offset, offset + 1])
  }

  thread(walrus: Walrus, checkpoint: unknown): TestThread {
    const log = new SharedArrayBuffer(4 * 100_000)
    this.#words.push(new Int32Array(log))
    return new TestThread('consumer', { handle: walrus.handle(), group: GROUP, checkpoint, log })
  }

  all(partition: number): Range[] {
    const ranges = [...this.ranges[partition]]
    for (const words of this.#words) {
      for (const number of words.subarray(1, 1 + Atomics.load(words, 0))) {
        if (number % PARTITIONS === partition)
          ranges.push([(number - partition) / PARTITIONS, (number - partition) / PARTITIONS + 1])
      }
    }
    return ranges
  }
}

/** The parts of [0, end) that none of the ranges covers. */
function uncovered(ranges: readonly Range[], end: number): Range[] {
  const missing: Range[] = []
  let at = 0
  for (const [from, to] of [...ranges].sort((left, right) => left[0] - right[0])) {
    if (from > at) missing.push([at, from])
    at = Math.max(at, to)
  }
  if (at < end) missing.push([at, end])
  return missing
}

test.each(['each', { every: 7 }, 'manual'] as const)(
  'members that join, leave and die under trim and retention, with gaps, skip nothing unsaid: checkpoint %j',
  async (checkpoint) => {
    const random = randomOf(`trimmed ${JSON.stringify(checkpoint)}`)
    const directory = temporaryDirectory()
    const options = { codec: 'utf8', partitions: PARTITIONS, segmentBytes: 4096, durability: 'disk' } as const
    let walrus = await openLog(directory)
    await append(await walrus.topic<string>('t', options), 0, 1200)
    await walrus.close()
    damage(directory)
    const moved: { partition: number; range: Range; reason: string }[] = []
    const onEvent = (event: WalrusEvent): void => {
      if (event.type !== 'cursor-moved' || event.group !== GROUP) return
      const { partition, from, to, reason } = event
      moved.push({ partition, range: [from, to], reason })
    }
    walrus = await openLog(directory, { recovery: 'skip', onEvent })
    const topic = await walrus.topic<string>('t', { retention: { records: 900 } })
    const handed = new Handed()
    // The group begins before anything is trimmed.
    const founder = topic.consumer(GROUP, { checkpoint })
    await founder.lag()
    const appending = append(topic, 1200, 1200)
    const here: Consumer<string>[] = [founder]
    const threads: TestThread[] = []
    const read = async (consumer: Consumer<string>): Promise<void> => {
      const kind = random()
      if (kind < 0.2) await consumer.peek(1 + Math.floor(random() * 300))
      for (const { partition, offset } of await consumer.read(1 + Math.floor(random() * 60)))
        handed.note(partition, offset)
      if (checkpoint === 'manual' && kind > 0.5)
        await consumer.commit().catch((error) => expect(error.code).toBe('CONSUMER_FENCED'))
      else if (kind > 0.9) await consumer.putBack()
    }
    for (let step = 0; step < 40; step++) {
      const kind = random()
      if (kind < 0.1) here.push(topic.consumer(GROUP, { checkpoint }))
      else if (kind < 0.15 && threads.length < 2 && checkpoint !== 'manual') {
        threads.push(handed.thread(walrus, checkpoint))
        await threads.at(-1)!.next()
      } else if (kind < 0.22 && here.length > 0) await here.splice(Math.floor(random() * here.length), 1)[0].close()
      else if (kind < 0.27 && threads.length > 0)
        await threads.splice(Math.floor(random() * threads.length), 1)[0].worker.terminate()
      else if (kind < 0.45) {
        const { partitions } = await topic.stats()
        const { partition, first, next } = partitions[Math.floor(random() * PARTITIONS)]
        await topic.trim({ before: first + Math.floor(random() * random() * (next - first)), partition })
      } else await Promise.all(here.map(read))
    }
    await appending
    for (const thread of threads) {
      thread.post('close')
      await thread.ended
    }
    const last = topic.consumer(GROUP, { checkpoint })
    for (const consumer of here) await consumer.close()
    // Partitions of members that died are given to it when their end is seen.
    while ((await topic.stats()).groups[0].lag > 0) {
      for (const { partition, offset } of await last.read()) handed.note(partition, offset)
      await last.commit()
    }
    await last.close()
    const { partitions } = await topic.stats()
    for (const { partition, next, first } of partitions) {
      const told = moved.filter((event) => event.partition === partition)
      expect(next).toBe(800)
      expect([partition, uncovered([...handed.all(partition), ...told.map(({ range }) => range)], next)]).toEqual([
        partition,
        [],
      ])
      // Nothing that is kept was said to be gone.
      for (const { range, reason } of told) if (reason === 'trimmed') expect(range[1]).toBeLessThanOrEqual(first)
    }
  },
  60_000,
)
