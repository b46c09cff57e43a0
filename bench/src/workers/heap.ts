import { getHeapStatistics } from 'node:v8'
import { type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'
import { makeValues } from '../values.js'

export interface HeapOfSends {
  handle: WalrusHandle
  topic: string
  recordBytes: number
  windows: number
  windowRecords: number
}

/** Windows before these are the compiler's. */
const WARM_UP_SHARE = 0.25

/**
 * Heap bytes that this thread allocates for a record, one number a window of `windowRecords` sends, waits for room
 * included. `used_heap_size` grows by every object that is made until a collection makes it smaller: windows that hold a
 * collection are left out.
 */
export async function heapOfSends({
  handle,
  topic,
  recordBytes,
  windows,
  windowRecords,
}: HeapOfSends): Promise<number[]> {
  const walrus = await Walrus.attach(handle)
  const log: Topic<Uint8Array> = await walrus.topic(topic)
  const producer = log.producer()
  const values = makeValues(recordBytes)
  const mask = values.length - 1
  const used = new Float64Array(windows + 1)
  used[0] = getHeapStatistics().used_heap_size
  for (let window = 1; window <= windows; window++) {
    for (let index = 0; index < windowRecords; index++)
      while (!producer.send(values[index & mask])) producer.readySync()
    used[window] = getHeapStatistics().used_heap_size
  }
  const ownBytes = bytesOfALook()
  const perRecord: number[] = []
  for (let window = Math.ceil(windows * WARM_UP_SHARE); window <= windows; window++) {
    const bytes = used[window] - used[window - 1] - ownBytes
    if (used[window] >= used[window - 1]) perRecord.push(Math.max(bytes, 0) / windowRecords)
  }
  await producer.close()
  await walrus.close()
  return perRecord
}

/** What looking at the heap allocates itself. */
export function bytesOfALook(): number {
  const looks: number[] = []
  let before = getHeapStatistics().used_heap_size
  for (let look = 0; look < 50; look++) {
    const after = getHeapStatistics().used_heap_size
    if (after >= before) looks.push(after - before)
    before = after
  }
  return looks.sort((left, right) => left - right)[looks.length >>> 1]
}
