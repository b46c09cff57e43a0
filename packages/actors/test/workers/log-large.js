import { parentPort, workerData } from 'node:worker_threads'
import { Walrus } from '#actors/index.js'

// Appends values of these lengths, each filled with its own place.
const walrus = await Walrus.attach(workerData.handle)
const producer = (await walrus.topic('t')).producer()
/** @type {number[]} */
const lengths = workerData.lengths
const acks = await Promise.all(lengths.map((length, index) => producer.append(new Uint8Array(length).fill(index))))
parentPort?.postMessage(acks.map(({ offset }) => offset))
await walrus.close()
