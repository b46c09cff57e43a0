import { Walrus } from '#actors/index.js'

// Appends batches of four values of 700 KiB until it is killed, and says of each that it is there.
const { directory, ...options } = JSON.parse(process.argv[2])
const walrus = await Walrus.open(directory, { durability: 'os', ...options })
const topic = await walrus.topic('t', { codec: 'bytes' })
const producer = topic.producer()
const values = [0, 1, 2, 3].map((byte) => new Uint8Array(700 << 10).fill(byte))
for (;;) process.send?.((await producer.appendBatch(values))[3].offset)
