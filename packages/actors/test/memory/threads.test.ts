import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { Arena } from '#actors/memory/arena.js'
import {
  ARENA_BITS_AT,
  ARENA_CHUNK_BYTES,
  CONTROL_WORDS,
  PARTITION_WRITTEN_AT,
  PARTITION_WRITTEN_SELECT_AT,
  partitionAt,
} from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { replay, SEED } from '../support/seeded.js'

const CHUNK = ARENA_CHUNK_BYTES
/** Words of bits of a small arena, thus room for 32 chunks each. */
const BIT_WORDS = 5

function startWorker(name: string, workerData: object): Promise<unknown[]> {
  const worker = new Worker(new URL(`../workers/${name}`, import.meta.url), { workerData })
  return Promise.race([once(worker, 'message'), once(worker, 'error').then(([error]) => Promise.reject(error))])
}

const newArena = (chunks: number): { arena: Arena; words: Int32Array } => {
  const words = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4))
  return { arena: new Arena(words, chunks * CHUNK), words }
}

describe('the arena', () => {
  it('never hands a chunk to two of four threads, and has all back when they are done', async () => {
    const chunks = BIT_WORDS * 32
    const { arena, words } = newArena(chunks)
    const owners = new Int32Array(new SharedArrayBuffer(chunks * 4))
    const data = { words, owners, bytes: chunks * CHUNK, seed: SEED, rounds: 60_000 }
    const takers = [1, 2, 3, 4].map((id) => startWorker('arena-taker.js', { ...data, id }))
    const results = (await Promise.all(takers)).map(([counts]) => counts as { taken: number; refused: number })
    for (const { taken, refused } of results) {
      expect(taken, replay).toBeGreaterThan(1000)
      expect(refused, replay).toBeGreaterThan(0)
    }
    expect(arena.free()).toBe(chunks * CHUNK)
    expect([...words.subarray(ARENA_BITS_AT, ARENA_BITS_AT + BIT_WORDS + 1)].every((bits) => bits === 0)).toBe(true)
  })

  it('hands out runs of one to 32 chunks within one word of bits, and longer ones in whole words', () => {
    for (let count = 1; count <= 96; count++) {
      const { arena } = newArena(128)
      const first = arena.take(CHUNK)
      const at = arena.take(count * CHUNK)
      expect(at % CHUNK).toBe(0)
      if (count < 32) expect(at).toBe(first + CHUNK)
      else expect(at).toBe(32 * CHUNK)
      const wholeWords = count <= 32 ? count : Math.ceil(count / 32) * 32
      expect(arena.free()).toBe((127 - wholeWords) * CHUNK)
      arena.give(at, count * CHUNK)
      expect(arena.free()).toBe(127 * CHUNK)
    }
  })

  it('says so when it is used up, and hands out what comes back', () => {
    const { arena } = newArena(64)
    const taken: number[] = []
    for (let at = arena.take(CHUNK - 1); at >= 0; at = arena.take(CHUNK - 1)) taken.push(at)
    expect(taken).toEqual(Array.from({ length: 64 }, (_, chunk) => chunk * CHUNK))
    expect([arena.free(), arena.take(CHUNK), arena.take(40 * CHUNK)]).toEqual([0, -1, -1])
    arena.give(taken[31], CHUNK)
    arena.give(taken[32], CHUNK)
    // They touch, but lie in two words of bits.
    expect(arena.take(2 * CHUNK)).toBe(-1)
    expect(arena.take(CHUNK)).toBe(31 * CHUNK)
    expect(arena.take(CHUNK)).toBe(32 * CHUNK)
  })

  it('leaves a long run that it cannot complete as it was', () => {
    const { arena, words } = newArena(128)
    words[ARENA_BITS_AT + 2] = 1
    expect(arena.take(65 * CHUNK)).toBe(-1)
    expect(arena.free()).toBe(127 * CHUNK)
    expect(arena.take(64 * CHUNK)).toBe(0)
    expect(arena.take(64 * CHUNK)).toBe(-1)
    expect(arena.take(32 * CHUNK)).toBe(96 * CHUNK)
  })

  it('stays within its bytes, and does not count what it cannot hand out', () => {
    const { arena } = newArena(33)
    expect(arena.free()).toBe(32 * CHUNK)
    expect(arena.take(33 * CHUNK)).toBe(-1)
    for (let taken = 0; taken < 32; taken++) expect(arena.take(CHUNK)).toBe(taken * CHUNK)
    expect([arena.take(CHUNK), arena.free()]).toEqual([-1, 0])
  })
})

describe('a point that one thread moves at full speed', () => {
  it('is read by another a million times, never as a mixture of two and never backwards', async () => {
    const memory = SharedMemory.allocate(2 * 1024 * 1024)
    const slot = 7
    const at = partitionAt(slot)
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const movesMin = 1_000_000
    memory.writePoint(at + PARTITION_WRITTEN_SELECT_AT, at + PARTITION_WRITTEN_AT, 0, 0, 2 ** 52)
    const mover = startWorker('point-mover.js', { buffers: memory.buffers, slot, stop, movesMin })
    let last = 0
    let changes = 0
    const look = (): void => {
      const { baseOffset, position, offset } = memory.readPoint(
        at + PARTITION_WRITTEN_SELECT_AT,
        at + PARTITION_WRITTEN_AT,
      )
      if (position !== baseOffset * 3 || offset !== 2 ** 52 + baseOffset)
        throw new Error(`a mixture: ${baseOffset} ${position} ${offset}`)
      if (baseOffset < last) throw new Error(`${baseOffset} after ${last}`)
      if (baseOffset > last) changes++
      const alone = memory.readPointOffset(slot, PARTITION_WRITTEN_SELECT_AT, PARTITION_WRITTEN_AT) - 2 ** 52
      if (alone < baseOffset) throw new Error(`${alone} after ${baseOffset}`)
      last = alone
    }
    for (let reads = 0; reads < 500_000 || changes < 1000; reads++) look()
    Atomics.store(stop, 0, 1)
    const [moves] = await mover
    look()
    expect(last).toBe(moves)
    expect(changes).toBeGreaterThanOrEqual(1000)
  })
})
