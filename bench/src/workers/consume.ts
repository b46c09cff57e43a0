import { type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'
import { makeValues } from '../values.js'
import { bareAppendLatencies } from './bare.js'
import { alternate, type LatencyBlocks, type LatencySamples } from './latency.js'

/** Sends `count` records, and resolves when they are acknowledged. */
export async function fillTopic(topic: Topic<Uint8Array>, recordBytes: number, count: number): Promise<void> {
  const producer = topic.producer()
  const values = makeValues(recordBytes)
  for (let sent = 0; sent < count; sent++) {
    while (!producer.send(values[sent % values.length])) await producer.ready()
  }
  await producer.close()
}

/**
 * Makes a function that takes a block of records one by one, each with the cursor before it made durable, and returns the
 * milliseconds of each.
 */
export function taker(records: AsyncIterator<unknown>, blockAppends: number): () => Promise<number[]> {
  return async () => {
    const latencies: number[] = []
    for (let taken = 0; taken < blockAppends; taken++) {
      const startMs = performance.now()
      const { done } = await records.next()
      latencies.push(performance.now() - startMs)
      if (done) throw new Error('the topic has fewer records than are measured')
    }
    return latencies
  }
}

/** Both sides from this one thread. `recordBytes` is what the bare side writes for a cursor. */
export async function consumeLatenciesAgainstBare(
  input: LatencyBlocks & { handle: WalrusHandle },
): Promise<LatencySamples> {
  const { handle, topic, recordBytes, blockAppends, file } = input
  const walrus = await Walrus.attach(handle)
  const log: Topic<Uint8Array> = await walrus.topic(topic)
  const consumer = log.consumer('bench', { checkpoint: 'each' })
  const bareBlock = async (): Promise<number[]> => bareAppendLatencies({ file, recordBytes, count: blockAppends })
  const samples = await alternate(input, taker(consumer[Symbol.asyncIterator](), blockAppends), bareBlock)
  await consumer.close()
  await walrus.close()
  return samples
}
