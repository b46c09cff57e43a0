import { type Durability, type Topic, Walrus } from '@walrus-log/actors'
import type { Settings } from './settings.js'
import { makeValues } from './values.js'

/** Opens a log in a new directory, lets `use` work with it, and closes it. */
export async function withFreshLog<Result>(
  settings: Settings,
  directory: string,
  options: { durability: Durability; fileSystem?: URL },
  use: (walrus: Walrus) => Promise<Result>,
): Promise<Result> {
  // One writer, so that a warm-up in a topic of its own warms the thread that is measured.
  const walrus = await Walrus.open(directory, { ...options, writerThreadsMax: 1 })
  try {
    return await use(walrus)
  } finally {
    await settings.profiler?.stop()
    await walrus.close()
  }
}

/** Throws unless the topic holds exactly `count` records, in order, with the values that were sent. */
export async function checkContent(
  settings: Settings,
  walrus: Walrus,
  topicName: string,
  recordBytes: number,
  count: number,
): Promise<void> {
  // The profile is of the run, not of its check.
  await settings.profiler?.stop()
  const topic: Topic<Uint8Array> = await walrus.topic(topicName)
  const values = makeValues(recordBytes)
  let next = 0
  for await (const batch of topic.read()) {
    if (batch.baseOffset !== next)
      throw new Error(`${topicName}: a batch at offset ${batch.baseOffset}, ${next} expected`)
    const [first] = batch
    if (Buffer.compare(first.value, values[next % values.length]) !== 0)
      throw new Error(`${topicName}: another value at offset ${next}`)
    next += batch.count
  }
  if (next !== count) throw new Error(`${topicName}: ${next} records where ${count} were sent`)
}
