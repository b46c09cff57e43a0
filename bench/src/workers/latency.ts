import { type Producer, type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'
import { makeValues } from '../values.js'
import { bareAppendLatencies } from './bare.js'

/**
 * Makes a function that appends a block of records, each when the one before is acknowledged, and returns the milliseconds
 * of each.
 */
export function appender(
  producer: Producer<Uint8Array>,
  { recordBytes, blockAppends }: LatencyBlocks,
): () => Promise<number[]> {
  const values = makeValues(recordBytes)
  let next = 0
  return async () => {
    const latencies: number[] = []
    for (const end = next + blockAppends; next < end; next++) {
      const startMs = performance.now()
      await producer.append(values[next % values.length])
      latencies.push(performance.now() - startMs)
    }
    return latencies
  }
}

export interface LatencyBlocks {
  topic: string
  recordBytes: number
  blocks: number
  blockAppends: number
  /** File of the bare appends. */
  file: string
}

export interface LatencySamples {
  walrus: number[]
  bare: number[]
}

/** Blocks of the one and of the other in turn, so that both see the same disk. */
export async function alternate(
  input: LatencyBlocks,
  walrusBlock: () => Promise<number[]>,
  bareBlock: () => Promise<number[]>,
): Promise<LatencySamples> {
  const samples: LatencySamples = { walrus: [], bare: [] }
  await walrusBlock()
  await bareBlock()
  for (let block = 0; block < input.blocks; block++) {
    samples.walrus.push(...(await walrusBlock()))
    samples.bare.push(...(await bareBlock()))
  }
  return samples
}

/** Both sides from this one thread. */
export async function latenciesAgainstBare(input: LatencyBlocks & { handle: WalrusHandle }): Promise<LatencySamples> {
  const { handle, topic, recordBytes, blockAppends, file } = input
  const walrus = await Walrus.attach(handle)
  const log: Topic<Uint8Array> = await walrus.topic(topic)
  const producer = log.producer()
  const bareBlock = async (): Promise<number[]> => bareAppendLatencies({ file, recordBytes, count: blockAppends })
  const samples = await alternate(input, appender(producer, input), bareBlock)
  await producer.close()
  await walrus.close()
  return samples
}
