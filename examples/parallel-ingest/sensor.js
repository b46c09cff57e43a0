// One sending thread: it takes part in the log that the main thread opened.
import { workerData } from 'node:worker_threads'
import { Walrus } from '@walrus-log/actors'

const { handle, sensor, records } = workerData
const walrus = await Walrus.attach(handle)
const producer = (await walrus.topic('readings')).producer()
const key = `sensor-${sensor}`
for (let number = 0; number < records; number++) {
  const reading = { sensor, number, celsius: 20 + Math.sin(number / 100) }
  while (!producer.send(reading, { key })) await producer.ready()
}
await producer.flush()
await walrus.close()
