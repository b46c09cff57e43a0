import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ring, sleepUntilRung } from '#actors/lane/doorbell.js'
import { SlotBits, setBit } from '#actors/memory/slot-bits.js'
import { explore, pretendWorkerThread } from '../support/interleave.js'

const BELL = 0
const BITS = 1
/** What there is to see of two slots whose bits share a word. */
const WORK = 2
const WORDS = 4

let restore: () => void
beforeAll(() => {
  restore = pretendWorkerThread()
})
afterAll(() => restore())

/** Has something to see for a slot, sets its bit behind that, and rings. */
function show(words: Int32Array, slot: number): void {
  Atomics.add(words, WORK + slot, 1)
  setBit(words, BITS, slot)
  ring(words, BELL)
}

/** Looks at the slots whose bits it takes until it has seen all there is, and sleeps while no bit is set. */
function look(words: Int32Array, total: number): number[] {
  const bits = new SlotBits(words, BITS)
  bits.include(1)
  const seen = [0, 0]
  const see = (slot: number): void => {
    seen[slot] = Atomics.load(words, WORK + slot)
  }
  while (seen[0] + seen[1] < total) if (!bits.take(see)) sleepUntilRung(words, BELL, () => bits.hasAny)
  return seen
}

describe('bits for slots, under every interleaving', () => {
  it('show all there is to see, also where one that is set is left as it is', () => {
    const words = new Int32Array(WORDS)
    const twice = (): void => {
      show(words, 0)
      show(words, 0)
    }
    const states = explore({
      sides: [
        { name: 'setter', run: twice },
        { name: 'taker', run: () => look(words, 2) },
      ],
      words: [words],
      atEnd: ([, seen]) => expect(seen).toEqual([2, 0]),
    })
    expect(states).toBeGreaterThan(500)
  })

  it('show what two threads have to show in one word', () => {
    const words = new Int32Array(WORDS)
    explore({
      sides: [
        { name: 'first setter', run: () => show(words, 0) },
        { name: 'second setter', run: () => show(words, 1) },
        { name: 'taker', run: () => look(words, 2) },
      ],
      words: [words],
      atEnd: ([, , seen]) => expect(seen).toEqual([1, 1]),
    })
  })

  it('leave nothing unseen that is neither seen nor marked, for a taker that never sleeps', () => {
    const words = new Int32Array(WORDS)
    const pass = (): number => {
      const bits = new SlotBits(words, BITS)
      bits.include(0)
      let seen = 0
      for (let count = 0; count < 2; count++) bits.take(() => (seen = Atomics.load(words, WORK)))
      return seen
    }
    const twice = (): void => {
      for (let count = 0; count < 2; count++) {
        Atomics.add(words, WORK, 1)
        setBit(words, BITS, 0)
      }
    }
    const ends = new Set<unknown>()
    explore({
      sides: [
        { name: 'setter', run: twice },
        { name: 'taker', run: pass },
      ],
      words: [words],
      atEnd: ([, seen]) => {
        ends.add(seen)
        if (seen !== 2) expect(words[BITS]).toBe(1)
      },
    })
    expect(ends).toEqual(new Set([0, 1, 2]))
  })

  it('would lose something if the bit were set before it, which the search finds', () => {
    const words = new Int32Array(WORDS)
    const tooEarly = (): void => {
      setBit(words, BITS, 0)
      ring(words, BELL)
      Atomics.add(words, WORK, 1)
    }
    const wrong = {
      sides: [
        { name: 'setter', run: tooEarly },
        { name: 'taker', run: () => look(words, 1) },
      ],
      words: [words],
    }
    expect(() => explore(wrong)).toThrow('a wake-up is lost')
  })
})
