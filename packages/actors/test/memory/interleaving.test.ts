import { describe, expect, it } from 'vitest'
import { Arena } from '#actors/memory/arena.js'
import { ARENA_BITS_AT, ARENA_CHUNK_BYTES } from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { explore } from '../support/interleave.js'

const SELECT = 0
const COPIES = 2

/** The words of one point, under the methods that read and move it. */
function pointMemory(selectStart: number): { memory: SharedMemory; words: Int32Array; wide: BigInt64Array } {
  const words = new Int32Array(14)
  const wide = new BigInt64Array(words.buffer)
  words[SELECT] = selectStart
  const { readPoint, writePoint } = SharedMemory.prototype
  return { memory: { words, wide, readPoint, writePoint } as unknown as SharedMemory, words, wide }
}

describe('a point with two copies, under every interleaving', () => {
  it.each([0, 1, 2 ** 31 - 2, -2])(
    'is read as one that was there, never a mixture and never an older one (select from %i)',
    (start) => {
      const { memory, words, wide } = pointMemory(start)
      const move = (): void => {
        for (let to = 1; to <= 3; to++) memory.writePoint(SELECT, COPIES, to, 10 * to, 100 * to)
      }
      const read = (): number[] => {
        const first = memory.readPoint(SELECT, COPIES)
        const second = memory.readPoint(SELECT, COPIES)
        for (const { baseOffset, position, offset } of [first, second]) {
          expect([position, offset]).toEqual([10 * baseOffset, 100 * baseOffset])
        }
        expect(second.baseOffset).toBeGreaterThanOrEqual(first.baseOffset)
        return [first.baseOffset, second.baseOffset]
      }
      const ends = new Set<string>()
      // One buffer under two views: whichever of them is put back, it is the whole.
      const states = explore({
        sides: [
          { name: 'owner', run: move },
          { name: 'reader', run: read },
        ],
        words: [words, wide],
        atEnd: ([, seen]) => ends.add(String(seen)),
      })
      expect(states).toBeGreaterThan(300)
      for (const end of ['0,0', '0,3', '1,2', '3,3']) expect(ends).toContain(end)
    },
  )

  it('is the one before where its owner died while moving it, and a successor goes on from there', () => {
    // One more access each time, until the move is done.
    for (let accesses = 0; ; accesses++) {
      const { memory, wide } = pointMemory(0)
      memory.writePoint(SELECT, COPIES, 1, 10, 100)
      const isDone = dieAfter(accesses, () => memory.writePoint(SELECT, COPIES, 2, 20, 200))
      const { baseOffset, position, offset } = memory.readPoint(SELECT, COPIES)
      expect([baseOffset, position, offset]).toEqual(isDone ? [2, 20, 200] : [1, 10, 100])
      memory.writePoint(SELECT, COPIES, 3, 30, 300)
      expect(memory.readPoint(SELECT, COPIES)).toEqual({ baseOffset: 3, position: 30, offset: 300 })
      expect(wide.length).toBe(7)
      if (isDone) break
    }
  })
})

/** Runs `action` until it has stored `stores` times, then never again. Returns whether it came to its end. */
function dieAfter(stores: number, action: () => void): boolean {
  const store = Atomics.store
  let left = stores
  const dead = new Error('dead')
  Object.assign(Atomics, {
    store: (array: Int32Array, index: number, value: number) => {
      if (left-- <= 0) throw dead
      return store(array, index, value)
    },
  })
  try {
    action()
    return true
  } catch (error) {
    if (error !== dead) throw error
    return false
  } finally {
    Object.assign(Atomics, { store })
  }
}

describe('the arena, under every interleaving', () => {
  const bits = ARENA_BITS_AT
  const chunk = ARENA_CHUNK_BYTES

  /** The arena over as many words of bits as are given, whose control memory is small enough to copy at each step. */
  function smallArena(wordCount: number): { arena: Arena; words: Int32Array } {
    const words = new Int32Array(bits + wordCount).subarray(bits)
    // The arena addresses its bits from the start of the control memory.
    const shifted = new Int32Array(words.buffer)
    return { arena: new Arena(shifted, wordCount * 32 * chunk), words: shifted }
  }

  it('gives two threads that take at the same time two runs that do not overlap, and takes both back', () => {
    const { arena, words } = smallArena(1)
    // Few chunks are free, so that the threads meet: 4 of 32.
    words[bits] = ~(0b1111 << 14)
    const run = (): number[] => {
      const first = arena.take(2 * chunk)
      if (first < 0) return []
      const second = arena.take(chunk)
      if (second >= 0) arena.give(second, chunk)
      return [first, second]
    }
    const ends = new Set<string>()
    explore({
      sides: [
        { name: 'a', run },
        { name: 'b', run },
      ],
      words: [words.subarray(bits, bits + 1)],
      atEnd: (results) => {
        const firsts = (results as number[][]).flatMap(([first]) => (first === undefined ? [] : [first / chunk]))
        ends.add(String(firsts.sort()))
        for (const first of firsts) arena.give(first * chunk, 2 * chunk)
        expect(words[bits]).toBe(~(0b1111 << 14))
      },
    })
    // The last is a thread that came while the other had three of the four.
    expect(ends).toEqual(new Set(['14,16', '14']))
  })

  it('takes whole words for a long run, all of them or none, beside a thread that takes single chunks', () => {
    const { arena, words } = smallArena(2)
    const long = (): number => {
      const at = arena.take(33 * chunk)
      if (at >= 0) arena.give(at, 33 * chunk)
      return at
    }
    const short = (): number => {
      const at = arena.take(chunk)
      if (at >= 0) arena.give(at, chunk)
      return at
    }
    explore({
      sides: [
        { name: 'long', run: long },
        { name: 'short', run: short },
      ],
      words: [words.subarray(bits, bits + 2)],
      atEnd: () => expect(arena.free()).toBe(64 * chunk),
    })
  })
})
