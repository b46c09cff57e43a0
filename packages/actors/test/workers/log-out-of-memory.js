import { setEnvironmentData } from 'node:worker_threads'
import { Walrus } from '#actors/index.js'
import { say } from './say.js'

// Appends while a writer's thread runs out of memory at its third write; says how its end was told, and what is there.
const { directory } = JSON.parse(process.argv[2])
const faults = new Int32Array(new SharedArrayBuffer(4096))
setEnvironmentData('walrus-test-faults', faults.buffer)
const walrus = await Walrus.open(directory, {
  durability: 'os',
  fileSystem: new URL('./log-faulty-file-system.js', import.meta.url),
  onEvent: (event) => void (event.type === 'writer-ended' && process.send?.(event.reason)),
})
const topic = await walrus.topic('t', { codec: 'json' })
const producer = topic.producer()
// Out of memory, in the writer, at a write, the third, once.
faults.set([5, 1, 2, 3, 1])
let appended = 0
for (let index = 0; index < 60; index++) if ((await producer.append(index)).offset === index) appended++
let read = 0
for await (const batch of topic.read()) for (const { value } of batch) if (value === read) read++
await walrus.close()
await say({ appended, read })
process.disconnect()
