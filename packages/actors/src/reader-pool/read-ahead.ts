import { batchLength, checkBatch, type ReadPosition, type Region } from '@walrus-log/core'
import { KeepAlive, waitWhile } from '../lane/doorbell.js'
import { type FilledWindow, RING_WINDOWS, WindowRing, type WindowRingMemory } from './window-ring.js'
import type { WindowStore } from './window-store.js'

/**
 * Fills the ring from a place on. Resolves with true where another session would go on behind the last window: this one's
 * turn is over, or the reader did not keep up.
 */
export type RunAhead = (ring: WindowRingMemory, from: ReadPosition, highWatermark: number) => Promise<boolean>

/** A session of the pool ends after so many windows, so that others have their turn. */
export const SESSION_WINDOWS_MAX = 256
/** A session that waits for its reader this long gives its thread back; the reader asks for another. */
export const SESSION_STALL_MS = 5

/** How often a reader looks before it sleeps: some 20 µs, a third of what it takes to be woken, and of a window. */
const LOOKS_MAX = 1000

/** With no more windows than this ready, the pool leaves the checking to the reader, who would wait for it otherwise: two
 *  cores then share it. */
const READY_CHECKED_MIN = 3

/**
 * The reader's end of windows that the pool fills ahead. What the pool cannot put into a window (a gap, a batch that is too
 * long, damage) ends a session, and is the caller's to ask for by itself.
 */
export class ReadAhead {
  readonly #run: RunAhead
  readonly #store: WindowStore
  readonly #keepAlive = new KeepAlive()
  #ring: WindowRing | undefined
  /** Where the next window of the ring begins; undefined where the ring has nothing to do with what comes. */
  #from: ReadPosition | undefined
  #isTaken = false
  #isRunning = false
  /** Whether a session would go on where the last one ended. */
  #goesOn = false
  #isClosed = false
  /** Another reader's as soon as nobody fills it. */
  #free: WindowRing | undefined

  constructor(store: WindowStore, run: RunAhead) {
    this.#store = store
    this.#run = run
  }

  /**
   * The window that begins at `from`, if it is there already and sound. The one before is overwritten from now on.
   * Checksums that the pool had no time for are looked at here.
   */
  take(from: object, highWatermark: number): FilledWindow | undefined {
    this.#giveBack()
    const ring = this.#ring
    if (ring === undefined || this.#from !== from) return undefined
    const window = ring.take()
    if (window === undefined) return undefined
    if (!window.isChecked && !isSound(window)) {
      // What is damaged, and where, the caller is told when it asks for that place by itself.
      this.#leave()
      return undefined
    }
    this.#isTaken = true
    this.#from = window.next
    if (ring.ready <= RING_WINDOWS / 2) this.#goOn(ring, ring.nextBehind!, highWatermark)
    return window
  }

  /** Waits until `take` has the window that begins at `from`; resolves at once where the ring will not have it. */
  async wait(from: object, highWatermark: number): Promise<void> {
    const ring = this.#ring
    if (ring === undefined || this.#from !== from) return
    for (let looks = 0; looks < LOOKS_MAX; looks++) if (ring.ready > 0) return
    this.#keepAlive.hold()
    try {
      for (;;) {
        const { words, at, value } = ring.signal
        if (ring.ready > 0 || this.#isClosed) return
        if (!this.#isRunning) {
          if (!this.#goesOn) return
          this.#goOn(ring, this.#from!, highWatermark)
        }
        await waitWhile(words, at, value)
      }
    } finally {
      this.#keepAlive.release()
    }
  }

  /** Has the pool fill windows from `from` on. Not while it fills, or has filled, others. */
  start(from: ReadPosition, highWatermark: number): void {
    if (this.#isRunning || this.#isClosed || from.offset >= highWatermark) return
    // A ring that still has windows of another place is somebody's who went elsewhere.
    if (this.#ring === undefined || this.#ring.ready > 0) this.#ring = this.#store.takeRing()
    this.#from = from
    this.#goesOn = true
    this.#goOn(this.#ring, from, highWatermark)
  }

  /** Starts another session where the last one's turn is over, before its windows are used up. */
  #goOn(ring: WindowRing, from: ReadPosition, highWatermark: number): void {
    if (this.#isRunning || !this.#goesOn || this.#isClosed) return
    this.#goesOn = false
    if (from.offset >= highWatermark) return
    this.#isRunning = true
    const end = (goesOn: boolean): void => {
      this.#isRunning = false
      this.#goesOn = goesOn && ring === this.#ring
      ring.wakeReader()
      if (ring === this.#free) this.#store.giveRing(ring)
    }
    // What went wrong, the caller meets when it asks for that place by itself.
    this.#run(ring.memory, from, highWatermark).then(end, () => end(false))
  }

  /** Has nothing more to do with the ring: whoever fills it stops. */
  #leave(): void {
    this.#from = undefined
    this.#goesOn = false
    this.#ring?.close()
    this.#ring = undefined
  }

  #giveBack(): void {
    if (!this.#isTaken) return
    this.#isTaken = false
    this.#ring?.takeDone()
  }

  /** `isFree`: no view of what was taken is valid any more. */
  close(isFree: boolean): void {
    this.#isClosed = true
    const ring = this.#ring
    ring?.wakeReader()
    this.#leave()
    if (isFree && ring !== undefined) {
      if (this.#isRunning) this.#free = ring
      else this.#store.giveRing(ring)
    }
    this.#keepAlive.close()
  }
}

function isSound({ region, bytes }: FilledWindow): boolean {
  for (let at = 0; at < bytes; at += batchLength(region, at)) {
    if (checkBatch(region, at, bytes - at) !== 'sound') return false
  }
  return true
}

/** The pool's end of a session: see `RunAhead`. `fill` is not called again once it gave no bytes. */
export function fillAhead(
  memory: WindowRingMemory,
  from: ReadPosition,
  fill: (from: ReadPosition, region: Region, verify: boolean) => { bytes: number; next: ReadPosition },
): boolean {
  const ring = new WindowRing(memory)
  let position = from
  for (let count = 0; count < SESSION_WINDOWS_MAX; count++) {
    const region = ring.fillNext(SESSION_STALL_MS)
    if (region === undefined) return true
    const isChecked = ring.ready >= READY_CHECKED_MIN
    const { bytes, next } = fill(position, region, isChecked)
    if (bytes === 0) return false
    ring.fillDone(bytes, next, isChecked)
    position = next
  }
  return true
}
