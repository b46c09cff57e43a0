import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import {
  blockUntilRung,
  EventedDoorbell,
  isSleeping,
  KeepAlive,
  ring,
  sleepUntilRung,
  type Waiter,
  waitWhile,
} from '#actors/lane/doorbell.js'
import { pretendWorkerThread } from '../support/interleave.js'

const BELL = 0
const WORK = 1

const newWords = (): Int32Array => new Int32Array(new SharedArrayBuffer(8))

/** Waits until `target` pieces of work are there; counts how often it is asked. */
class WorkWaiter implements Waiter {
  polls = 0
  readonly #words: Int32Array
  readonly #target: number
  readonly #onPoll: (polls: number) => void

  constructor(words: Int32Array, target: number, onPoll: (polls: number) => void = () => {}) {
    this.#words = words
    this.#target = target
    this.#onPoll = onPoll
  }

  poll(): boolean {
    this.#onPoll(++this.polls)
    return !this.isDone
  }

  get isDone(): boolean {
    return Atomics.load(this.#words, WORK) >= this.#target
  }
}

function work(words: Int32Array): void {
  Atomics.add(words, WORK, 1)
  ring(words, BELL)
}

/** Lets everything happen that a ring sets off. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await nextTurn()
}

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

describe('the doorbell of an event loop', () => {
  it('polls a waiter at once, then at each ring until it waits no more, and sleeps only while somebody waits', async () => {
    const words = newWords()
    const bell = new EventedDoorbell(words, BELL)
    const waiter = new WorkWaiter(words, 2)
    bell.add(waiter)
    expect([waiter.polls, isSleeping(words, BELL)]).toEqual([1, true])
    work(words)
    await settle()
    expect([waiter.polls, isSleeping(words, BELL)]).toEqual([2, true])
    work(words)
    await settle()
    expect([waiter.polls, isSleeping(words, BELL)]).toEqual([3, false])
    work(words)
    await settle()
    expect(waiter.polls).toBe(3)
  })

  it('does not arm for a waiter that has nothing to wait for', () => {
    const words = newWords()
    words[WORK] = 1
    const bell = new EventedDoorbell(words, BELL)
    bell.add(new WorkWaiter(words, 1))
    expect(isSleeping(words, BELL)).toBe(false)
  })

  it('misses no work that comes between a ring and the loop`s next look', async () => {
    const words = newWords()
    const bell = new EventedDoorbell(words, BELL)
    const waiter = new WorkWaiter(words, 3)
    bell.add(waiter)
    // The second and third find the bell awake and ring nobody.
    work(words)
    work(words)
    work(words)
    await settle()
    expect(waiter.isDone && !isSleeping(words, BELL)).toBe(true)
  })

  it('misses no work that comes while it arms', async () => {
    const words = newWords()
    const bell = new EventedDoorbell(words, BELL)
    const waiter: WorkWaiter = new WorkWaiter(words, 1, (polls) => {
      // After the look that found nothing, before the wait.
      if (polls === 1) queueMicrotask(() => work(words))
    })
    bell.add(waiter)
    await settle()
    expect([waiter.polls, isSleeping(words, BELL)]).toEqual([2, false])
  })

  it('takes waiters that are added while it is armed, also by a waiter in its own poll', async () => {
    const words = newWords()
    const bell = new EventedDoorbell(words, BELL)
    const late = new WorkWaiter(words, 2)
    const first = new WorkWaiter(words, 1, (polls) => {
      if (polls === 2) bell.add(late)
    })
    bell.add(first)
    const second = new WorkWaiter(words, 1)
    bell.add(second)
    expect(second.polls).toBe(1)
    work(words)
    await settle()
    expect([first.polls, second.polls, late.isDone]).toEqual([2, 2, false])
    expect(late.polls).toBeGreaterThan(0)
    work(words)
    await settle()
    expect([late.isDone, isSleeping(words, BELL)]).toEqual([true, false])
  })

  it('tells listeners of every ring, and they keep no timer', async () => {
    const words = newWords()
    const before = timers()
    const bell = new EventedDoorbell(words, BELL)
    const listener = new WorkWaiter(words, 1)
    bell.listen(listener)
    for (let count = 1; count <= 3; count++) {
      work(words)
      await settle()
      expect(listener.polls).toBe(1 + count)
    }
    expect(timers()).toBe(before)
    bell.close()
    await settle()
    expect(isSleeping(words, BELL)).toBe(false)
  })

  it('keeps the loop alive exactly while somebody waits', async () => {
    const words = newWords()
    const before = timers()
    const bell = new EventedDoorbell(words, BELL)
    bell.add(new WorkWaiter(words, 1))
    expect(timers()).toBe(before + 1)
    work(words)
    await settle()
    expect(timers()).toBe(before)
  })

  it('polls everybody a last time when it is closed, and nobody after that', async () => {
    const words = newWords()
    const before = timers()
    const bell = new EventedDoorbell(words, BELL)
    const waiter = new WorkWaiter(words, 5)
    bell.add(waiter)
    bell.close()
    bell.close()
    expect([waiter.polls, timers(), isSleeping(words, BELL)]).toEqual([2, before, false])
    work(words)
    await settle()
    expect(waiter.polls).toBe(2)
  })

  it('asks a waiter that comes after its end once, so that what can be settled is', () => {
    const words = newWords()
    const bell = new EventedDoorbell(words, BELL)
    bell.close()
    const waiter = new WorkWaiter(words, 1)
    bell.add(waiter)
    bell.listen(waiter)
    expect([waiter.polls, isSleeping(words, BELL)]).toEqual([2, false])
  })

  it('can be closed by a waiter in its own poll, and holds nothing afterwards', async () => {
    const words = newWords()
    const before = timers()
    const bell = new EventedDoorbell(words, BELL)
    bell.add(
      new WorkWaiter(words, 9, (polls) => {
        if (polls === 2) bell.close()
      }),
    )
    work(words)
    await settle()
    expect([timers(), isSleeping(words, BELL)]).toEqual([before, false])
  })

  it('is armed again after its thread has blocked on it, whether it was rung or not', async () => {
    const restore = pretendWorkerThread()
    try {
      const words = newWords()
      const bell = new EventedDoorbell(words, BELL)
      const waiter = new WorkWaiter(words, 2)
      bell.add(waiter)
      blockUntilRung(words, BELL, () => false, 1)
      await settle()
      expect([waiter.polls, isSleeping(words, BELL)]).toEqual([2, true])
      blockUntilRung(words, BELL, () => true)
      await settle()
      expect([waiter.polls, isSleeping(words, BELL)]).toEqual([3, true])
      const worker = new Worker(new URL('../workers/ringer.js', import.meta.url), {
        workerData: { words, bell: BELL, work: WORK, rings: 2 },
      })
      while (Atomics.load(words, WORK) < 2) blockUntilRung(words, BELL, () => Atomics.load(words, WORK) === 2)
      await once(worker, 'exit')
      await settle()
      expect([waiter.isDone, isSleeping(words, BELL)]).toEqual([true, false])
    } finally {
      restore()
    }
  })
})

describe('waiting in other ways', () => {
  it('is refused on the main thread where it would block', () => {
    const words = newWords()
    expect(() => sleepUntilRung(words, BELL, () => true)).toThrow('never blocks')
    expect(() => blockUntilRung(words, BELL, () => true)).toThrow('never blocks')
    expect(isSleeping(words, BELL)).toBe(false)
  })

  it('resolves at once where the word is another already', async () => {
    const words = newWords()
    words[WORK] = 3
    await waitWhile(words, WORK, 2)
  })

  it('holds the loop as often as it is asked to, by one timer', () => {
    const before = timers()
    const keepAlive = new KeepAlive()
    keepAlive.hold()
    keepAlive.hold()
    expect(timers()).toBe(before + 1)
    keepAlive.release()
    expect(timers()).toBe(before + 1)
    keepAlive.release()
    expect(timers()).toBe(before)
    keepAlive.hold()
    expect(timers()).toBe(before + 1)
    keepAlive.close()
    expect(timers()).toBe(before)
  })
})
