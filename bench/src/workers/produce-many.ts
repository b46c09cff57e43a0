import { type Producer, type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'
import { makeValues } from '../values.js'

export interface ProduceToMany {
  handle: WalrusHandle
  /** Names of the topics. */
  topics: string[]
  recordBytes: number
  /** Records over all, sent to the topics in turn, one each. */
  count: number
  /** The same before the clock starts: compilers, the topics' first segments. */
  warmUpCount: number
}

/** Sends records to many topics in turn. Returns the seconds from the first send to the last acknowledgement. */
export async function produceToMany(input: ProduceToMany): Promise<number> {
  const walrus = await Walrus.attach(input.handle)
  const producers: Producer<Uint8Array>[] = []
  for (const name of input.topics) {
    const topic: Topic<Uint8Array> = await walrus.topic(name)
    producers.push(topic.producer())
  }
  await sendInTurn(producers, input.recordBytes, input.warmUpCount)
  const startMs = performance.now()
  await sendInTurn(producers, input.recordBytes, input.count)
  const seconds = (performance.now() - startMs) / 1000
  await walrus.close()
  return seconds
}

async function sendInTurn(
  producers: readonly Producer<Uint8Array>[],
  recordBytes: number,
  count: number,
): Promise<void> {
  const values = makeValues(recordBytes)
  const mask = values.length - 1
  for (let index = 0, turn = 0; index < count; index++) {
    const producer = producers[turn]
    turn = turn + 1 === producers.length ? 0 : turn + 1
    while (!producer.send(values[index & mask])) producer.readySync()
  }
  await Promise.all(producers.map((producer) => producer.flush()))
}
