import { parentPort, workerData } from 'node:worker_threads'
import { Walrus, WalrusError } from '#actors/index.js'

// Takes part in a log as it is told by messages: attached by `handle`, or as the opener of `directory`.
/** @typedef {{ do: string, topic: string, options?: object, count?: number }} Order */

const { handle, directory, name, forgets } = workerData
const walrus = handle ? await Walrus.attach(handle) : await Walrus.open(directory, { durability: 'os' })
/** @type {(answer: unknown) => void} */
const say = (answer) => parentPort?.postMessage(answer)
if (!handle) say(walrus.handle())
if (forgets) {
  // Attached many times over, and never closed.
  for (let times = 1; times < forgets; times++) await Walrus.attach(handle)
  const producer = (await walrus.topic('t')).producer()
  await producer.append(`${name}:0`)
} else {
  parentPort?.on('message', async (order) => {
    try {
      await obey(order)
    } catch (error) {
      const isWalrusError = error instanceof WalrusError
      say({ error: { .../** @type {object} */ (error), message: String(error), isWalrusError } })
    }
  })
}

/** @param {Order} order */
async function obey(order) {
  switch (order.do) {
    case 'close':
      await walrus.close()
      return parentPort?.close()
    case 'topics':
      return say((await walrus.topics()).map((topic) => topic.name))
    case 'topic':
      return say((await walrus.topic(order.topic, order.options)).config)
    case 'delete':
      return say(await walrus.deleteTopic(order.topic))
    case 'stats':
      return say(walrus.stats())
    case 'append':
      return say(await append(order))
    case 'read':
      return say(await read(order))
    case 'follow':
      return follow(order)
    case 'send forever':
    case 'send until closed':
      return sendForever(order)
  }
}

/** Sends, and appends each hundredth; the offsets of those. @param {Order} order */
async function append({ topic, count = 0 }) {
  const producer = (await walrus.topic(topic)).producer()
  const offsets = []
  for (let index = 0; index < count; index++) {
    const value = `${name}:${index}`
    if (index % 100 === 0) {
      const { partition, offset } = await producer.append(value)
      offsets.push([partition, offset])
    } else {
      while (!producer.send(value)) producer.readySync()
    }
  }
  await producer.flush()
  await producer.close()
  return { offsets }
}

/** @param {Order} order */
async function read({ topic, options, count }) {
  let records = 0
  for await (const batch of (await walrus.topic(topic)).read(options)) {
    for (const _record of batch) if (++records === count) break
  }
  return { records }
}

/** @param {Order} order */
async function follow({ topic }) {
  const batches = (await walrus.topic(topic)).read({ follow: true })
  say('following')
  for await (const _batch of batches);
}

/** @param {Order} order */
async function sendForever({ topic }) {
  const producer = (await walrus.topic(topic)).producer()
  for (let index = 0; ; index++) {
    const value = `${name}:${index}:${'x'.repeat((index * 7) % 500)}`
    while (!producer.send(value)) await producer.ready()
    if (index === 100) say('sending')
    // So that the thread hears of what happens elsewhere.
    if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}
