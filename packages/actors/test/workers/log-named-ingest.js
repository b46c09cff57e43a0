import { Walrus } from '#actors/index.js'

// Goes on under a name until it is killed, from where the name had come, or from before that: what it repeats is there
// once. Says of each record, or batch, that it is acknowledged.
const { directory, back } = JSON.parse(process.argv[2])
const walrus = await Walrus.open(directory, { durability: 'disk', writerThreadsMax: 2 })
const topic = await walrus.topic('t', { codec: 'utf8', partitions: 2, segmentBytes: 16 << 10 })

/** @param {number} partition */
async function ingest(partition) {
  const producer = topic.producer({ producerId: `stream-${partition}`, partition })
  await producer.ready()
  const known = producer.lastSequence + 1
  /** @type {(sequence: number) => string} */
  const value = (sequence) => `${sequence}`.padEnd((sequence * 13) % 700)
  let sequence = Math.max(known - back, 0)
  for (;;) {
    /** @type {Promise<unknown>[]} */
    const sent = []
    for (let count = 1 + (sequence % 20); count > 0; count--) {
      const isBatch = sequence % 5 === 0 && (sequence >= known || sequence + 3 <= known)
      const first = sequence
      const append = isBatch
        ? producer.appendBatch([value(first), value(first + 1), value(first + 2)], { sequence: first })
        : producer.append(value(first), { sequence: first })
      sequence += isBatch ? 3 : 1
      sent.push(append)
    }
    await Promise.all(sent)
    process.send?.({ partition, sequence: sequence - 1 })
  }
}

await Promise.all([ingest(0), ingest(1)])
