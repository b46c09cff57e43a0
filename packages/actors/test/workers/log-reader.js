import { parentPort, workerData } from 'node:worker_threads'
import { Walrus } from '#actors/index.js'

// Follows a topic of an open log until it has seen `count` records; says how many it saw, and where one was missing.
const { handle, topic, count, readAhead } = workerData
const walrus = await Walrus.attach(handle)
const open = await walrus.topic(topic)
/** @type {Map<number, number>} */
const next = new Map()
const gaps = []
let records = 0
parentPort?.postMessage('reading')
reading: for await (const batch of open.read({ follow: true, readAhead })) {
  for (const { partition, offset } of batch) {
    if (offset !== (next.get(partition) ?? 0)) gaps.push([partition, offset])
    next.set(partition, offset + 1)
    if (++records === count) break reading
  }
}
parentPort?.postMessage({ records, gaps })
await walrus.close()
