import { parentPort, workerData } from 'node:worker_threads'
import { Walrus } from '#actors/index.js'

// Consumes a topic of numbers in a group, and writes down in shared memory what it was handed: the count in word 0, then
// the numbers. What it wrote last before it was ended is what it had in hand.
const { handle, group, checkpoint, log, end } = workerData
const words = new Int32Array(log)
const walrus = await Walrus.attach(handle)
const topic = await walrus.topic('t')
const consumer = topic.consumer(group, { checkpoint })
parentPort?.on('message', async () => {
  await consumer.close()
  await walrus.close()
  parentPort?.close()
})
await consumer.lag()
parentPort?.postMessage('joined')
if (end === 'forget') parentPort?.close()
else {
  for await (const { value } of consumer) {
    const count = Atomics.load(words, 0)
    words[1 + count] = Number(value)
    Atomics.store(words, 0, count + 1)
    // Loops of several threads on few cores: a turn for whoever wants to be heard.
    if (count % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
    if (end === 'throw' && count === 20) throw new Error('on purpose')
    if (end === 'exit' && count === 20) process.exit(3)
  }
}
