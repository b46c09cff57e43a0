import { describe, expect, test } from 'vitest'
import type { Topic, Walrus } from '#actors/index.js'
import { expectRefusal, openLog, readAll, readValues } from './fixture.js'

/** A topic that was deleted while it was open, and made again under its name with three records. */
async function staleTopic(): Promise<{ walrus: Walrus; stale: Topic<string>; topic: Topic<string> }> {
  const walrus = await openLog()
  const stale = await walrus.topic<string>('t', { codec: 'utf8' })
  await stale.producer().append('old')
  await walrus.deleteTopic('t')
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  await topic.producer().appendBatch(['a', 'b', 'c'])
  return { walrus, stale, topic }
}

test('a topic that is made again is later than the one that it follows', async () => {
  const walrus = await openLog()
  let last = 0
  for (let round = 0; round < 5; round++) {
    const { createdMs } = (await walrus.topic('t')).config
    expect(createdMs).toBeGreaterThan(last)
    last = createdMs
    await walrus.deleteTopic('t')
  }
})

const CALLS: Record<string, (stale: Topic<string>) => unknown> = {
  trim: (stale) => stale.trim({ before: 'end' }),
  'trim before an offset': (stale) => stale.trim({ before: 2 }),
  'trim before a time': (stale) => stale.trim({ before: new Date() }),
  stats: (stale) => stale.stats(),
  read: (stale) => readAll(stale),
  'read with follow': (stale) => readAll(stale, { follow: true }),
  'a producer': (stale) => stale.producer().append('x'),
  'a named producer': (stale) => stale.producer({ producerId: 'n' }).ready(),
  'a consumer': (stale) => stale.consumer('g').read(),
  "a consumer's peek": (stale) => stale.consumer('g').peek(),
  "a consumer's seek": (stale) => stale.consumer('g').seek('start'),
  "a consumer's commit": (stale) => stale.consumer('g').commit(),
  "a consumer's lag": (stale) => stale.consumer('g').lag(),
}

describe('an object of a topic that was deleted, and made again under its name,', () => {
  test.each(Object.entries(CALLS))('has nothing to do with the new one: %s', async (_name, call) => {
    const { stale, topic } = await staleTopic()
    const before = await topic.stats()
    await expectRefusal(() => call(stale), 'UNKNOWN_TOPIC')
    expect(await topic.stats()).toEqual(before)
    expect(await readValues(topic)).toEqual(['a', 'b', 'c'])
  })

  test('says nothing of a producer or a consumer that was made before the deletion either', async () => {
    const walrus = await openLog()
    const stale = await walrus.topic<string>('t', { codec: 'utf8' })
    const producer = stale.producer()
    const named = stale.producer({ producerId: 'n' })
    await named.append('old')
    const consumer = stale.consumer('g')
    await consumer.lag()
    await walrus.deleteTopic('t')
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    await topic.producer().appendBatch(['a', 'b', 'c'])
    await expectRefusal(producer.append('x'), 'UNKNOWN_TOPIC')
    await expectRefusal(named.append('x'), 'UNKNOWN_TOPIC')
    await expectRefusal(consumer.read(), 'UNKNOWN_TOPIC')
    await expectRefusal(consumer.commit(), 'UNKNOWN_TOPIC')
    expect(await readValues(topic)).toEqual(['a', 'b', 'c'])
    expect(await topic.consumer('g').read()).toHaveLength(3)
  })

  test('is refused where there is no new one', async () => {
    const walrus = await openLog()
    const stale = await walrus.topic<string>('t', { codec: 'utf8' })
    await walrus.deleteTopic('t')
    for (const call of Object.values(CALLS)) await expectRefusal(() => call(stale), 'UNKNOWN_TOPIC')
    expect(await walrus.topics()).toEqual([])
  })
})
