import { parentPort, workerData } from 'node:worker_threads'
import { Walrus } from '#actors/index.js'

// Opens the name, appends, and appends once more when it is told to.
const { handle, topic: name, values } = workerData
const walrus = await Walrus.attach(handle)
const topic = await walrus.topic(name)
const producer = topic.producer({ producerId: 'orders' })
await producer.ready()
const { lastSequence } = producer
const offsets = []
for (const value of values) offsets.push((await producer.append(value)).offset)
parentPort?.postMessage({ lastSequence, offsets })
parentPort?.once('message', async () => {
  const outcome = await producer.append('x').then(
    () => 'appended',
    (error) => error.code,
  )
  parentPort?.postMessage(outcome)
  await walrus.close().catch(() => {})
})
