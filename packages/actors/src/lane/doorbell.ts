import { isMainThread } from 'node:worker_threads'
import { assert } from '@walrus-log/core'
import { DOORBELL_AWAKE, DOORBELL_SLEEPING } from '../memory/layout.js'

/**
 * The one file that waits. A doorbell is a word that says whether its owner sleeps; it is an eventcount: announce, look
 * again, sleep.
 *
 *   owner                                  sender
 *   1. store SLEEPING                      a. publish (store the tail, set the ready bit)
 *   2. look for work; if any: store AWAKE  b. load the word; if SLEEPING: exchange it for AWAKE
 *   3. wait while the word is SLEEPING     c. the one whose exchange succeeded notifies
 *
 * All four accesses are sequentially consistent. If (2) did not see (a), then (2) came before (a), thus (1) before (b),
 * and (b) sees SLEEPING: no wake-up is lost. In the common case, an owner that is awake, ringing is one load.
 */
export function ring(words: Int32Array, at: number): void {
  if (Atomics.load(words, at) !== DOORBELL_SLEEPING) return
  if (Atomics.compareExchange(words, at, DOORBELL_SLEEPING, DOORBELL_AWAKE) === DOORBELL_SLEEPING) {
    Atomics.notify(words, at)
  }
}

/**
 * Rings an owner that may be blocked for one thing: it has said which in the word at `wantedAt` (0: anything), before it
 * announced its sleep, and looks for that behind the announcement. So a ringer that reads another thing there may go: if
 * the word has changed since, the owner's look comes after what the ringer published.
 */
export function ringIfWanted(words: Int32Array, at: number, wantedAt: number, what: number): void {
  if (Atomics.load(words, at) !== DOORBELL_SLEEPING) return
  const wanted = Atomics.load(words, wantedAt)
  if (wanted === 0 || wanted === what) ring(words, at)
}

/** Whether the owner has announced that it sleeps: a sender may then send early what it would have gathered. */
export function isSleeping(words: Int32Array, at: number): boolean {
  return Atomics.load(words, at) === DOORBELL_SLEEPING
}

/**
 * Looks for work for some 50 µs. A thread that has just answered somebody may be asked again at once: being woken for it
 * costs that somebody 30 to 75 µs, and a disk that was idle meanwhile is slower too. For threads that may block.
 */
export function findsSoon(hasWork: () => boolean): boolean {
  assert(!isMainThread, 'the main thread never blocks')
  for (let look = 0; look < LOOKS_MAX; look++) if (hasWork()) return true
  return false
}

const LOOKS_MAX = 2000

/** Sleeps until somebody rings, unless `hasWork()` finds something first. For threads that may block. */
export function sleepUntilRung(words: Int32Array, at: number, hasWork: () => boolean, timeoutMs?: number): void {
  assert(!isMainThread, 'the main thread never blocks')
  Atomics.store(words, at, DOORBELL_SLEEPING)
  if (hasWork()) {
    Atomics.store(words, at, DOORBELL_AWAKE)
    return
  }
  Atomics.wait(words, at, DOORBELL_SLEEPING, timeoutMs)
  Atomics.store(words, at, DOORBELL_AWAKE)
}

/**
 * The same on a bell whose owner is an event loop that may have armed it: afterwards the loop is told that the bell is
 * no longer announced, and arms it again.
 */
export function blockUntilRung(words: Int32Array, at: number, hasWork: () => boolean, timeoutMs?: number): void {
  assert(!isMainThread, 'the main thread never blocks')
  Atomics.store(words, at, DOORBELL_SLEEPING)
  if (!hasWork()) Atomics.wait(words, at, DOORBELL_SLEEPING, timeoutMs)
  Atomics.store(words, at, DOORBELL_AWAKE)
  notifyAll(words, at)
}

/** Blocks until the word is no longer `value`. For threads that may block. Returns false when `timeoutMs` ran out. */
export function blockWhile(words: Int32Array, at: number, value: number, timeoutMs?: number): boolean {
  assert(!isMainThread, 'the main thread never blocks')
  return Atomics.wait(words, at, value, timeoutMs) !== 'timed-out'
}

/** Resolves when the word is no longer `value` and somebody said so. Does not keep the process alive. */
export function waitWhile(words: Int32Array, at: number, value: number): Promise<unknown> {
  const wait = Atomics.waitAsync(words, at, value)
  return wait.async ? wait.value : Promise.resolve()
}

/** Wakes everybody who waits on the word, in any of these ways. */
export function notifyAll(words: Int32Array, at: number): void {
  Atomics.notify(words, at)
}

/**
 * Keeps the event loop alive while somebody waits: a pending `Atomics.waitAsync` alone does not
 * (nodejs/node#44729). One timer for the thread, referenced while the count is above zero.
 */
export class KeepAlive {
  #timer: NodeJS.Timeout | undefined
  #count = 0

  hold(): void {
    if (this.#count++ > 0) return
    this.#timer ??= setInterval(() => {}, 2 ** 30)
    this.#timer.ref()
  }

  release(): void {
    if (--this.#count === 0) this.#timer?.unref()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** Something that waits for other threads and can say whether it still does. */
export interface Waiter {
  /** Looks at shared memory, settles what can be settled, and returns whether it still waits. */
  poll(): boolean
}

/**
 * A doorbell whose owner is an event loop. Waiters are polled whenever somebody rings; the bell is armed, and the loop
 * kept alive, only while there are any.
 */
export class EventedDoorbell {
  readonly #words: Int32Array
  readonly #at: number
  readonly #keepAlive = new KeepAlive()
  readonly #waiters = new Set<Waiter>()
  /** Waiters that do not keep the process alive. */
  readonly #listeners = new Set<Waiter>()
  #isArmed = false
  #isHeld = false
  #isClosed = false

  constructor(words: Int32Array, at: number) {
    this.#words = words
    this.#at = at
  }

  /** Polls `waiter` now and at each ring until it says that it waits no more. */
  add(waiter: Waiter): void {
    // Nobody rings any more: what can be settled is settled now or never.
    if (this.#isClosed) return void waiter.poll()
    this.#waiters.add(waiter)
    if (!this.#isArmed) return this.#arm()
    // The bell has been announced, so that a change after this look will ring.
    if (!waiter.poll()) this.#waiters.delete(waiter)
    this.#hold(this.#waiters.size > 0)
  }

  /** The same, without an end and without keeping the process alive. */
  listen(waiter: Waiter): void {
    if (this.#isClosed) return void waiter.poll()
    this.#listeners.add(waiter)
    if (this.#isArmed) waiter.poll()
    else this.#arm()
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Polls all waiters once more and waits no more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#poll()
    this.#keepAlive.close()
    ring(this.#words, this.#at)
  }

  #poll(): void {
    for (const waiter of this.#waiters) if (!waiter.poll()) this.#waiters.delete(waiter)
    for (const listener of this.#listeners) listener.poll()
  }

  #arm(): void {
    if (this.#isArmed || this.#isClosed) return
    this.#isArmed = true
    Atomics.store(this.#words, this.#at, DOORBELL_SLEEPING)
    this.#poll()
    this.#hold(this.#waiters.size > 0)
    if (this.#waiters.size === 0 && this.#listeners.size === 0) {
      this.#isArmed = false
      Atomics.store(this.#words, this.#at, DOORBELL_AWAKE)
      return
    }
    void waitWhile(this.#words, this.#at, DOORBELL_SLEEPING).then(() => {
      this.#isArmed = false
      this.#arm()
    })
  }

  #hold(isNeeded: boolean): void {
    // A waiter may close the bell while it is polled; the timer must not come back then.
    if (isNeeded === this.#isHeld || this.#isClosed) return
    this.#isHeld = isNeeded
    if (isNeeded) this.#keepAlive.hold()
    else this.#keepAlive.release()
  }
}
