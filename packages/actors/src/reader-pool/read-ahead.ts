import type { ReadPosition, Region } from '@walrus-log/core'
import { KeepAlive, waitWhile } from '../lane/doorbell.js'
import { type FilledWindow, RING_WINDOWS, WindowRing, type WindowRingMemory } from './window-ring.js'

/** Fills the ring from a place on until there is nothing more below the watermark, or the reader does not keep up. */
export type RunAhead = (ring: WindowRingMemory, from: ReadPosition, highWatermark: number) => Promise<void>

/** A session of the pool ends after so many windows, so that others have their turn. */
export const SESSION_WINDOWS_MAX = 64
/** A session that waits for its reader this long gives its thread back; the reader asks for another. */
export const SESSION_STALL_MS = 5

/**
 * The reader's end of windows that the pool fills ahead. What the pool cannot put into a window (a gap, a batch that is too
 * long, damage) ends a session, and is the caller's to ask for by itself.
 */
export class ReadAhead {
  readonly #run: RunAhead
  readonly #keepAlive = new KeepAlive()
  #ring: WindowRing | undefined
  /** Where the next window of the ring begins; undefined where the ring has nothing to do with what comes. */
  #from: ReadPosition | undefined
  #isTaken = false
  #isRunning = false
  #isClosed = false

  constructor(run: RunAhead) {
    this.#run = run
  }

  /** The window that begins at `from`, if it is there already. The one before is overwritten from now on. */
  take(from: object, highWatermark: number): FilledWindow | undefined {
    this.#giveBack()
    const ring = this.#ring
    if (ring === undefined || this.#from !== from) return undefined
    const window = ring.take()
    if (window === undefined) return undefined
    this.#isTaken = true
    this.#from = window.next
    this.#goOn(ring, highWatermark)
    return window
  }

  /** Waits until `take` has the window that begins at `from`; resolves at once where the ring will not have it. */
  async wait(from: object): Promise<void> {
    const ring = this.#ring
    if (ring === undefined || this.#from !== from) return
    this.#keepAlive.hold()
    try {
      for (;;) {
        const { words, at, value } = ring.signal
        if (ring.ready > 0 || !this.#isRunning || this.#isClosed) return
        await waitWhile(words, at, value)
      }
    } finally {
      this.#keepAlive.release()
    }
  }

  /** Has the pool fill windows from `from` on. Not while it fills, or has filled, others. */
  start(from: ReadPosition, highWatermark: number): void {
    if (this.#isRunning || this.#isClosed || from.offset >= highWatermark) return
    this.#ring ??= WindowRing.allocate()
    if (this.#ring.ready > 0) return
    this.#from = from
    this.#begin(this.#ring, from, highWatermark)
  }

  /** Starts the next session before the windows of the last one are used up. */
  #goOn(ring: WindowRing, highWatermark: number): void {
    if (this.#isRunning || this.#isClosed || ring.ready > RING_WINDOWS / 2) return
    const from = ring.nextBehind!
    if (from.offset < highWatermark) this.#begin(ring, from, highWatermark)
  }

  #begin(ring: WindowRing, from: ReadPosition, highWatermark: number): void {
    this.#isRunning = true
    const end = (): void => {
      this.#isRunning = false
      ring.wakeReader()
    }
    // What went wrong, the caller meets when it asks for that place by itself.
    this.#run(ring.memory, from, highWatermark).then(end, end)
  }

  #giveBack(): void {
    if (!this.#isTaken) return
    this.#isTaken = false
    this.#ring!.takeDone()
  }

  close(): void {
    this.#isClosed = true
    this.#from = undefined
    this.#ring?.close()
    this.#ring?.wakeReader()
    this.#keepAlive.close()
  }
}

/** The pool's end of a session. `fill` reads whole, checked batches; it is not called again once it gave no bytes. */
export function fillAhead(
  memory: WindowRingMemory,
  from: ReadPosition,
  fill: (from: ReadPosition, region: Region) => { bytes: number; next: ReadPosition },
): void {
  const ring = new WindowRing(memory)
  let position = from
  for (let count = 0; count < SESSION_WINDOWS_MAX; count++) {
    const region = ring.fillNext(SESSION_STALL_MS)
    if (region === undefined) return
    const { bytes, next } = fill(position, region)
    if (bytes === 0) return
    ring.fillDone(bytes, next)
    position = next
  }
}
