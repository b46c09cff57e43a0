import { Walrus } from '#actors/index.js'

// Ingests until it is killed: several producers, topics of both durabilities, segments so small that they roll all the
// time. Says of each acknowledged record where it is, before it goes on to the next.
const { directory, run } = JSON.parse(process.argv[2])
const walrus = await Walrus.open(directory, { writerThreadsMax: 2 })

/** @param {'os' | 'disk'} durability @param {number} number */
async function ingest(durability, number) {
  const topic = await walrus.topic(durability, { codec: 'utf8', partitions: 2, durability, segmentBytes: 16 << 10 })
  const producer = topic.producer()
  for (let index = 0; ; ) {
    /** @type {(by: number) => string} */
    const value = (by) => `${run} ${number} ${index + by} ${'x'.repeat(((index + by) * 13) % 700)}`
    /** @type {[number, Promise<import('#actors/index.js').Ack>][]} */
    const appends = []
    for (let count = index % 7; count >= 0; count--) {
      appends.push([index, producer.append(value(0))])
      index++
    }
    const first = index
    const batch = producer.appendBatch([value(0), value(1), value(2)])
    index += 3
    if (producer.send(value(0))) index++
    const said = []
    for (const [at, append] of appends) said.push({ ...(await append), index: at })
    for (const [by, ack] of (await batch).entries()) said.push({ ...ack, index: first + by })
    process.send?.(
      said.map(({ partition, offset, index: at }) => ({
        topic: durability,
        run,
        producer: number,
        partition,
        offset,
        index: at,
      })),
    )
  }
}

await Promise.all([ingest('os', 0), ingest('os', 1), ingest('disk', 2), ingest('disk', 3)])
