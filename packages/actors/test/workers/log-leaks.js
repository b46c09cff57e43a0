import fs from 'node:fs'
import { Walrus } from '#actors/index.js'
import { say } from './say.js'

// Opens and closes what can be opened, many times over, and says after each part what the process still holds.
// Needs --expose-gc.
const { directory, opens, rounds } = JSON.parse(process.argv[2])
const warnings = /** @type {string[]} */ ([])
process.on('warning', ({ name, message }) => void warnings.push(`${name}: ${message}`))

/** @returns {string[]} */
const below = (/** @type {string} */ name) => (process.platform === 'linux' ? fs.readdirSync(name) : [])

async function held() {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    globalThis.gc?.()
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  return {
    heap: heapUsed,
    external,
    rss,
    descriptors: below('/proc/self/fd').length,
    threads: below('/proc/self/task').length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    resources: process.getActiveResourcesInfo().filter((name) => name !== 'Timeout').length,
  }
}

/** @param {string} part @param {number} times @param {() => Promise<void>} action @param {number} [first] */
async function measure(part, times, action, first = times / 10) {
  // What is made once and kept is made by the first few; compiled code is, too.
  for (let time = 0; time < first; time++) await action()
  const before = await held()
  for (let time = 0; time < times; time++) await action()
  let after = await held()
  // What is only late, on a busy machine, goes; what has leaked stays.
  const isMore = () => after.resources > before.resources || after.descriptors > before.descriptors
  for (let look = 0; look < 50 && isMore(); look++) after = await held()
  await say({ part, times, before, after })
}

async function useLog() {
  const walrus = await Walrus.open(directory, { durability: 'os', writerThreadsMax: 1, laneBytesMax: 2 << 20 })
  const topic = await walrus.topic('t')
  await topic.producer().append(new Uint8Array(10))
  for await (const _batch of topic.read());
  await topic.consumer('g').read(1)
  await walrus.close()
}

await measure('log', opens, useLog)

const walrus = await Walrus.open(directory, { durability: 'os', writerThreadsMax: 1 })
const topic = await walrus.topic('u', { partitions: 2 })
await topic.producer({ partition: 0 }).append(new Uint8Array(3))
await topic.producer({ partition: 1 }).append(new Uint8Array(3))

await measure('producer', rounds, async () => {
  const producer = topic.producer()
  producer.send(new Uint8Array(3))
  await producer.close()
})
await measure('producer that is not used', rounds, async () => {
  await topic.producer().close()
})
await measure(
  'named producer',
  rounds,
  async () => {
    const producer = topic.producer({ producerId: 'name', partition: 0 })
    await producer.append(new Uint8Array(3))
    await producer.close()
  },
  200,
)
await measure('reader', rounds, async () => {
  for await (const _batch of topic.read({ from: 'start' }));
})
const abort = new AbortController()
await measure('follower that finds nothing', rounds, async () => {
  const own = new AbortController()
  const reading = (async () => {
    for await (const _batch of topic.read({
      from: 'end',
      follow: true,
      signal: AbortSignal.any([own.signal, abort.signal]),
    }));
  })()
  await new Promise((resolve) => setImmediate(resolve))
  own.abort()
  await reading.catch(() => {})
})
await measure('consumer', rounds, async () => {
  const consumer = topic.consumer('g')
  await consumer.read(1)
  await consumer.close()
})
await measure('consumer that waits', rounds / 4, async () => {
  const consumer = topic.consumer('waits', { from: 'end' })
  const next = consumer[Symbol.asyncIterator]().next()
  await consumer.lag()
  await consumer.close()
  await next
})
let groups = 0
await measure('group', rounds, async () => {
  const consumer = topic.consumer(`g${groups++ % 50}-${'x'.repeat(100)}`, { from: 'end' })
  await consumer.lag()
  await consumer.close()
})
let attached = 0
await measure('attachment', opens, async () => {
  const other = await Walrus.attach(walrus.handle())
  const same = await other.topic('u')
  await same.producer().append(new Uint8Array(attached++ % 10))
  await same.consumer('h', { from: 'end' }).lag()
  await other.close()
})
await measure('topic', opens, async () => {
  const made = await walrus.topic('made')
  await made.producer().append(new Uint8Array(3))
  await made.consumer('g').read()
  await walrus.deleteTopic('made')
})
await walrus.close()
await say({ part: 'end', warnings })
process.disconnect()
