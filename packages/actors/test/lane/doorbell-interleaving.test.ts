import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blockUntilRung, isSleeping, notifyAll, ring, sleepUntilRung } from '#actors/lane/doorbell.js'
import { explore, pretendWorkerThread, type Side } from '../support/interleave.js'

const BELL = 0
const WORK = 1
const READY = 2
const TAIL_AT = 3

let restore: () => void
beforeAll(() => {
  restore = pretendWorkerThread()
})
afterAll(() => restore())

const sides = (...runs: [string, () => unknown][]): Side[] => runs.map(([name, run]) => ({ name, run }))

describe('a doorbell, under every interleaving', () => {
  const send = (words: Int32Array, count: number) => (): void => {
    for (let item = 0; item < count; item++) {
      Atomics.add(words, WORK, 1)
      ring(words, BELL)
    }
  }
  const work = (words: Int32Array, total: number) => (): void => {
    for (let done = 0; done < total; ) {
      const seen = Atomics.load(words, WORK)
      if (seen === done) sleepUntilRung(words, BELL, () => Atomics.load(words, WORK) !== done)
      done = seen
    }
  }

  it('wakes its owner for each piece of work that a sender sends, whenever it rings', () => {
    const words = new Int32Array(2)
    const states = explore({
      sides: sides(['sender', send(words, 3)], ['owner', work(words, 3)]),
      words: [words],
      atEnd: () => expect(isSleeping(words, BELL)).toBe(false),
    })
    expect(states).toBeGreaterThan(500)
  })

  it('wakes its owner where two senders ring at the same time', () => {
    const words = new Int32Array(2)
    const states = explore({
      sides: sides(['first sender', send(words, 1)], ['second sender', send(words, 1)], ['owner', work(words, 2)]),
      words: [words],
      atEnd: () => expect(isSleeping(words, BELL)).toBe(false),
    })
    expect(states).toBeGreaterThan(500)
  })

  it('loses wake-ups where the owner does not look again, which the search finds', () => {
    const words = new Int32Array(2)
    const send = (): void => {
      Atomics.store(words, WORK, 1)
      ring(words, BELL)
    }
    const owner = (): void => {
      while (Atomics.load(words, WORK) === 0) sleepUntilRung(words, BELL, () => false)
    }
    expect(() => explore({ sides: sides(['sender', send], ['owner', owner]), words: [words] })).toThrow(
      'a wake-up is lost',
    )
  })

  it('loses wake-ups where the sender rings before it publishes, which the search finds', () => {
    const words = new Int32Array(2)
    const send = (): void => {
      ring(words, BELL)
      Atomics.store(words, WORK, 1)
    }
    const owner = (): void => {
      while (Atomics.load(words, WORK) === 0) sleepUntilRung(words, BELL, () => Atomics.load(words, WORK) !== 0)
    }
    expect(() => explore({ sides: sides(['sender', send], ['owner', owner]), words: [words] })).toThrow(
      'a wake-up is lost',
    )
  })

  it('goes on after a timeout as after a ring, and a late ring harms nobody', () => {
    const words = new Int32Array(2)
    const send = (): void => {
      Atomics.store(words, WORK, 1)
      ring(words, BELL)
    }
    const owner = (): number => {
      let sleeps = 0
      for (; sleeps < 3 && Atomics.load(words, WORK) === 0; sleeps++) {
        sleepUntilRung(words, BELL, () => Atomics.load(words, WORK) !== 0, 10)
      }
      return sleeps
    }
    const ends = new Set<unknown>()
    explore({
      sides: sides(['sender', send], ['owner', owner]),
      words: [words],
      atEnd: ([, sleeps]) => {
        ends.add(sleeps)
        expect(isSleeping(words, BELL)).toBe(false)
      },
    })
    expect([...ends].sort()).toEqual([0, 1, 2, 3])
  })

  it('wakes an owner that blocks beside its own armed loop, and leaves the bell so that the loop arms it again', () => {
    const words = new Int32Array(2)
    const send = (): void => {
      Atomics.store(words, WORK, 1)
      ring(words, BELL)
    }
    const owner = (): void => {
      // The loop has armed the bell before.
      Atomics.store(words, BELL, 1)
      while (Atomics.load(words, WORK) === 0) blockUntilRung(words, BELL, () => Atomics.load(words, WORK) !== 0)
    }
    explore({
      sides: sides(['sender', send], ['owner', owner]),
      words: [words],
      atEnd: () => expect(Atomics.load(words, WORK)).toBe(1),
    })
  })
})

/** A sender's knock and a writer's pass, in the order of `PartitionLane` and `WriterLoop`. */
function knock(words: Int32Array, lane: number): void {
  const bit = 1 << lane
  Atomics.add(words, TAIL_AT + lane, 1)
  if ((Atomics.load(words, READY) & bit) === 0) Atomics.or(words, READY, bit)
  ring(words, BELL)
}

describe('ready bits, under every interleaving', () => {
  const passes = (words: Int32Array, total: number, isBitTakenFirst: boolean) => (): number[] => {
    const seen = [0, 0]
    while (seen[0] + seen[1] < total) {
      let bits = 0
      if (isBitTakenFirst) bits = Atomics.load(words, READY) === 0 ? 0 : Atomics.exchange(words, READY, 0)
      else bits = Atomics.load(words, READY)
      for (let lane = 0; lane < 2; lane++)
        if ((bits & (1 << lane)) !== 0) seen[lane] = Atomics.load(words, TAIL_AT + lane)
      if (!isBitTakenFirst && bits !== 0) Atomics.and(words, READY, ~bits)
      if (bits === 0) sleepUntilRung(words, BELL, () => Atomics.load(words, READY) !== 0)
    }
    return seen
  }
  const twice = (words: Int32Array, lane: number) => (): void => {
    knock(words, lane)
    knock(words, lane)
  }

  it('show every publication, also where the sender leaves a bit that is set as it is', () => {
    const words = new Int32Array(5)
    const states = explore({
      sides: sides(['lane 0', twice(words, 0)], ['writer', passes(words, 2, true)]),
      words: [words],
      atEnd: ([, seen]) => expect(seen).toEqual([2, 0]),
    })
    expect(states).toBeGreaterThan(500)
  })

  it('show the publications of two lanes in one word', () => {
    const words = new Int32Array(5)
    explore({
      sides: sides(
        ['lane 0', () => knock(words, 0)],
        ['lane 1', () => knock(words, 1)],
        ['writer', passes(words, 2, true)],
      ),
      words: [words],
      atEnd: ([, , seen]) => expect(seen).toEqual([1, 1]),
    })
  })

  it('would lose one if the writer read the tail before it takes the bit, which the search finds', () => {
    const words = new Int32Array(5)
    const wrong = { sides: sides(['lane 0', twice(words, 0)], ['writer', passes(words, 2, false)]), words: [words] }
    expect(() => explore(wrong)).toThrow('a wake-up is lost')
  })
})

describe('a signal with a count of waiters', () => {
  const SIGNAL = 0
  const WAITERS = 1
  const MARK = 2

  it('is never missed by who counts himself before he looks', () => {
    const words = new Int32Array(3)
    const move = (): void => {
      for (let mark = 1; mark <= 2; mark++) {
        Atomics.store(words, MARK, mark)
        Atomics.add(words, SIGNAL, 1)
        if (Atomics.load(words, WAITERS) > 0) notifyAll(words, SIGNAL)
      }
    }
    const follow = (): void => {
      Atomics.add(words, WAITERS, 1)
      for (;;) {
        const seen = Atomics.load(words, SIGNAL)
        if (Atomics.load(words, MARK) === 2) break
        Atomics.wait(words, SIGNAL, seen)
      }
      Atomics.sub(words, WAITERS, 1)
    }
    const states = explore({ sides: sides(['mover', move], ['follower', follow]), words: [words] })
    expect(states).toBeGreaterThan(100)
  })
})
