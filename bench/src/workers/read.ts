import { type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'

export interface Read {
  topic: string
  /** Read and check on another core, ahead of this thread; left out: as this thread does by itself. */
  readAhead?: boolean
}

/** Batches that are read before the clock starts: the compiler's share. */
const WARM_UP_BATCHES = 20_000

/** Reads a whole topic with views and touches each record. Returns seconds and what was there. */
export async function readAll(
  walrus: Walrus,
  { topic, readAhead }: Read,
): Promise<{ seconds: number; records: number; bytes: number }> {
  const log: Topic<Uint8Array> = await walrus.topic(topic)
  await touch(log, readAhead, WARM_UP_BATCHES)
  const startMs = performance.now()
  const touched = await touch(log, readAhead, Number.POSITIVE_INFINITY)
  return { seconds: (performance.now() - startMs) / 1000, ...touched }
}

async function touch(
  log: Topic<Uint8Array>,
  readAhead: boolean | undefined,
  batchesMax: number,
): Promise<{ records: number; bytes: number }> {
  let records = 0
  let bytes = 0
  let batches = 0
  for await (const batch of log.read({ readAhead })) {
    for (const record of batch) {
      bytes += record.bytes!.length
      records++
    }
    if (++batches >= batchesMax) break
  }
  return { records, bytes }
}

export async function readInThread(
  input: Read & { handle: WalrusHandle },
): Promise<{ seconds: number; records: number; bytes: number }> {
  const walrus = await Walrus.attach(input.handle)
  const result = await readAll(walrus, input)
  await walrus.close()
  return result
}
