import { type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'
import { makeValues } from '../values.js'

export interface Produce {
  topic: string
  recordBytes: number
  count: number
  /** How a full lane is waited for: by blocking the thread, or by awaiting in its event loop. */
  wait: 'block' | 'await'
}

/**
 * Sends `count` records as fast as the lane takes them. Returns the seconds from the first send to the acknowledgement
 * of the last.
 */
export async function produce(walrus: Walrus, { topic, recordBytes, count, wait }: Produce): Promise<number> {
  const log: Topic<Uint8Array> = await walrus.topic(topic)
  const producer = log.producer()
  const values = makeValues(recordBytes)
  const mask = values.length - 1
  const startMs = performance.now()
  if (wait === 'block') {
    for (let index = 0; index < count; index++) while (!producer.send(values[index & mask])) producer.readySync()
  } else {
    for (let index = 0; index < count; index++) while (!producer.send(values[index & mask])) await producer.ready()
  }
  await producer.flush()
  const seconds = (performance.now() - startMs) / 1000
  await producer.close()
  return seconds
}

export interface ProduceInThread extends Produce {
  handle: WalrusHandle
  /** Sent to a topic of its own beforehand, so that no compiler is measured, here or in the writer. */
  warmUp: Produce
}

/** The same from a thread that attaches itself. */
export async function produceInThread({ handle, warmUp, ...measured }: ProduceInThread): Promise<number> {
  const walrus = await Walrus.attach(handle)
  await produce(walrus, warmUp)
  const seconds = await produce(walrus, measured)
  await walrus.close()
  return seconds
}

export interface ProduceInLockstep {
  handle: WalrusHandle
  topic: string
  recordBytes: number
  batchRecords: number
  seconds: number
}

/**
 * Sends some records, waits until they are acknowledged, and so on: this thread and the writer's are busy in turn. Not with
 * `appendBatch`, which makes memory for each batch: the collector's helper threads would be busy too. Returns how many
 * records that were.
 */
export async function produceInLockstep(input: ProduceInLockstep): Promise<number> {
  const { handle, topic, recordBytes, batchRecords, seconds } = input
  const walrus = await Walrus.attach(handle)
  const log: Topic<Uint8Array> = await walrus.topic(topic)
  const producer = log.producer()
  const values = makeValues(recordBytes)
  const mask = values.length - 1
  const endMs = performance.now() + seconds * 1000
  let count = 0
  while (performance.now() < endMs) {
    for (const end = count + batchRecords; count < end; count++) {
      while (!producer.send(values[count & mask])) await producer.ready()
    }
    await producer.flush()
  }
  await producer.close()
  await walrus.close()
  return count
}
