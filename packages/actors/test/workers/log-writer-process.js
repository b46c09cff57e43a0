import { Walrus } from '#actors/index.js'

// A process that writes to a log, and does what it is told: { call, ... } over IPC, answered one by one.
const { directory, options, topic, topicOptions } = JSON.parse(process.argv[2])
const walrus = await Walrus.open(directory, options)
let open = await walrus.topic(topic, topicOptions)
let producer = open.producer()

/** @type {Record<string, (request: any) => Promise<unknown>>} */
const calls = {
  append: async ({ values }) => (await producer.appendBatch(values)).map(({ offset }) => offset),
  trim: ({ before }) => open.trim({ before }),
  commit: async ({ group, records }) => {
    const consumer = open.consumer(group, { checkpoint: 'manual' })
    await consumer.read(records)
    await consumer.commit()
    await consumer.close()
  },
  topic: async ({ name }) => void (await (await walrus.topic(name, topicOptions)).producer().append('first')),
  delete: async () => {
    await producer.close()
    await walrus.deleteTopic(topic)
  },
  again: async () => {
    open = await walrus.topic(topic, topicOptions)
    producer = open.producer()
  },
  close: () => walrus.close(),
}

process.on('message', async (/** @type {{ call: string }} */ request) => {
  try {
    const value = await calls[request.call](request)
    process.send?.({ value }, () => request.call === 'close' && process.disconnect())
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.send?.({ value: 'ready' })
