import { allocateShared, type ReadPosition, Region, type WasmMemory } from '@walrus-log/core'
import { blockWhile, notifyAll } from '../lane/doorbell.js'

/** Small enough that what was just read is still in the reading core's cache when it is checked. */
const WINDOW_BYTES = 512 * 1024
/** A power of two, so that a counter's low bits say which window, also when it has gone round. */
export const RING_WINDOWS = 4
const WINDOW_MASK = RING_WINDOWS - 1

// One line each, so that neither side slows the other down.
/** How many windows were filled, ever. Written by the pool's thread. */
const FILLED_AT = 0
/** How many the reader has given back. Written by the reader. */
const TAKEN_AT = 32
/** 1: the reader wants no more. Written by the reader. */
const CLOSED_AT = 33
/** What each window holds: bytes, where to go on (segment, byte, offset, generation), and 1 where all checksums were looked at.
 *  Doubles, published by `FILLED`. */
const SLOTS_AT = 32
const SLOT_NUMBERS = 6
const CONTROL_BYTES = (SLOTS_AT + RING_WINDOWS * SLOT_NUMBERS) * 8

/** The two memories of a ring as they travel to the pool. */
export interface WindowRingMemory {
  control: SharedArrayBuffer
  windows: WasmMemory | SharedArrayBuffer
}

/** A window of file bytes in memory: whole batches, and where to go on. */
export interface FilledWindow {
  region: Region
  bytes: number
  next: ReadPosition
  /** Whether the batches' checksums were looked at; their headers were. */
  isChecked: boolean
}

/**
 * Windows that a thread of the reader pool fills ahead of a reader in another thread, in shared memory, so that neither
 * sends a message for each. One of the two ends at a time: `fill…` is the pool's, `take…` the reader's.
 *
 * Invariant, modulo 2^32: `0 <= filled - taken <= RING_WINDOWS`; windows in [taken, filled) are the reader's. A window's
 * bytes and its slot are written before `FILLED` moves over it, and read before `TAKEN` does.
 */
export class WindowRing {
  readonly memory: WindowRingMemory
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #regions: Region[]

  constructor(memory: WindowRingMemory) {
    this.memory = memory
    this.#words = new Int32Array(memory.control)
    this.#doubles = new Float64Array(memory.control)
    this.#regions = Array.from(
      { length: RING_WINDOWS },
      (_, window) => new Region(memory.windows, window * WINDOW_BYTES, WINDOW_BYTES),
    )
  }

  static allocate(): WindowRing {
    const windows = allocateShared(RING_WINDOWS * WINDOW_BYTES)
    return new WindowRing({ control: new SharedArrayBuffer(CONTROL_BYTES), windows })
  }

  /** The next window to fill; waits for room, and returns undefined where there is none within `timeoutMs`. */
  fillNext(timeoutMs: number): Region | undefined {
    const filled = this.#words[FILLED_AT]
    for (;;) {
      if (Atomics.load(this.#words, CLOSED_AT) === 1) return undefined
      const taken = Atomics.load(this.#words, TAKEN_AT)
      if (((filled - taken) | 0) < RING_WINDOWS) return this.#regions[filled & WINDOW_MASK]
      if (!blockWhile(this.#words, TAKEN_AT, taken, timeoutMs)) return undefined
    }
  }

  /** Hands the window from `fillNext` over. */
  fillDone(bytes: number, next: ReadPosition, isChecked: boolean): void {
    const filled = this.#words[FILLED_AT]
    const at = slotAt(filled)
    this.#doubles[at] = bytes
    this.#doubles[at + 1] = next.baseOffset
    this.#doubles[at + 2] = next.position
    this.#doubles[at + 3] = next.offset
    this.#doubles[at + 4] = next.generation ?? 0
    this.#doubles[at + 5] = isChecked ? 1 : 0
    Atomics.store(this.#words, FILLED_AT, filled + 1)
    notifyAll(this.#words, FILLED_AT)
  }

  /** How many windows are there that were not given back. */
  get ready(): number {
    return (Atomics.load(this.#words, FILLED_AT) - Atomics.load(this.#words, TAKEN_AT)) | 0
  }

  /** The first window that was not given back, or undefined where there is none. */
  take(): FilledWindow | undefined {
    if (this.ready === 0) return undefined
    const taken = this.#words[TAKEN_AT]
    const at = slotAt(taken)
    return {
      region: this.#regions[taken & WINDOW_MASK],
      bytes: this.#doubles[at],
      next: this.#nextOf(taken),
      isChecked: this.#doubles[at + 5] === 1,
    }
  }

  /** Where whoever fills goes on behind the last window that is there; undefined where there is none. */
  get nextBehind(): ReadPosition | undefined {
    return this.ready === 0 ? undefined : this.#nextOf(Atomics.load(this.#words, FILLED_AT) - 1)
  }

  #nextOf(window: number): ReadPosition {
    const at = slotAt(window)
    const [, baseOffset, position, offset, generation] = this.#doubles.subarray(at, at + SLOT_NUMBERS)
    return { baseOffset, position, offset, generation: generation || undefined }
  }

  /** Gives the window from `take` back. Whoever fills is woken for every second one: to be woken costs more than a window. */
  takeDone(): void {
    const taken = Atomics.add(this.#words, TAKEN_AT, 1) + 1
    if ((taken & 1) === 0) notifyAll(this.#words, TAKEN_AT)
  }

  /** The word that moves with each window, and how far it is: for waiting. */
  get signal(): { words: Int32Array; at: number; value: number } {
    return { words: this.#words, at: FILLED_AT, value: Atomics.load(this.#words, FILLED_AT) }
  }

  /** Wakes a reader that waits, without a window: nobody fills any more. */
  wakeReader(): void {
    notifyAll(this.#words, FILLED_AT)
  }

  /** For another reader. Only while nobody fills. */
  reset(): void {
    Atomics.store(this.#words, TAKEN_AT, Atomics.load(this.#words, FILLED_AT))
    Atomics.store(this.#words, CLOSED_AT, 0)
  }

  /** Tells whoever fills to stop. */
  close(): void {
    Atomics.store(this.#words, CLOSED_AT, 1)
    notifyAll(this.#words, TAKEN_AT)
  }
}

const slotAt = (window: number): number => SLOTS_AT + (window & WINDOW_MASK) * SLOT_NUMBERS
