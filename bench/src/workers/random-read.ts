import { closeSync, openSync, readSync } from 'node:fs'
import { type Topic, Walrus, type WalrusHandle } from '@walrus-log/actors'

export interface RandomReads {
  handle: WalrusHandle
  topic: string
  /** Records of the topic; each has the time `timestampFrom` plus its offset, in milliseconds. */
  count: number
  timestampFrom: number
  /** Reads of each side in each of the blocks, which alternate. */
  blocks: number
  blockReads: number
  /** Files that the bare side reads from, `bareBytes` at a time. */
  files: { path: string; bytes: number }[]
  bareBytes: number
}

/** Milliseconds of each read, by side. */
export interface RandomReadSamples {
  offset: number[]
  time: number[]
  bare: number[]
}

/** Reads one record by its offset, one by its time, and as many bytes with a bare pread, block by block in turn. */
export async function randomReads(input: RandomReads): Promise<RandomReadSamples> {
  const { handle, count, timestampFrom, blocks, blockReads } = input
  const walrus = await Walrus.attach(handle)
  const topic: Topic<Uint8Array> = await walrus.topic(input.topic)
  const random = randomNumbers(count)
  const bare = new BarePreads(input)
  const samples: RandomReadSamples = { offset: [], time: [], bare: [] }
  // The first block is the compilers'.
  for (let block = 0; block <= blocks; block++) {
    const into = block === 0 ? { offset: [], time: [], bare: [] } : samples
    for (let read = 0; read < blockReads; read++) {
      const offset = random()
      await timed(into.offset, () => readOne(topic, offset, offset))
    }
    for (let read = 0; read < blockReads; read++) {
      const offset = random()
      await timed(into.time, () => readOne(topic, new Date(timestampFrom + offset), offset))
    }
    for (let read = 0; read < blockReads; read++) {
      const place = random() / count
      await timed(into.bare, async () => bare.read(place))
    }
  }
  bare.close()
  await walrus.close()
  return samples
}

async function timed(into: number[], action: () => Promise<void>): Promise<void> {
  const startMs = performance.now()
  await action()
  into.push(performance.now() - startMs)
}

async function readOne(topic: Topic<Uint8Array>, from: number | Date, expected: number): Promise<void> {
  for await (const batch of topic.read({ from, partition: 0 })) {
    for (const record of batch) {
      if (record.offset !== expected) throw new Error(`record ${record.offset} where ${expected} was asked for`)
      if (record.bytes!.length === 0) throw new Error(`record ${record.offset} is empty`)
      return
    }
  }
  throw new Error(`record ${expected} was not found`)
}

class BarePreads {
  readonly #files: { descriptor: number; bytes: number }[]
  readonly #chunk: Uint8Array

  constructor({ files, bareBytes }: RandomReads) {
    this.#files = files.map(({ path, bytes }) => ({ descriptor: openSync(path, 'r'), bytes }))
    this.#chunk = new Uint8Array(bareBytes)
  }

  /** Reads at `place` of all bytes, from 0 to 1. */
  read(place: number): void {
    const total = this.#files.reduce((sum, { bytes }) => sum + bytes, 0)
    let position = Math.floor(place * total)
    for (const { descriptor, bytes } of this.#files) {
      if (position < bytes) {
        readSync(descriptor, this.#chunk, 0, this.#chunk.length, position)
        return
      }
      position -= bytes
    }
  }

  close(): void {
    for (const { descriptor } of this.#files) closeSync(descriptor)
  }
}

/** Whole numbers below `limit`, the same in each run. */
function randomNumbers(limit: number): () => number {
  let state = 1
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}
