import { allocateShared, READ_CHUNK_BYTES, Region, type WasmMemory } from '@walrus-log/core'
import { WindowRing } from './window-ring.js'

/** Memory that a reader's bytes are read into, here or in a thread of the pool. */
export interface ReadWindow {
  /** That were asked for. */
  readonly bytes: number
  readonly memory: WasmMemory | SharedArrayBuffer
  readonly region: Region
}

/** So many of each kind are kept at most: some 24 MB. */
const KEPT_MAX = 8

/**
 * One thread's windows, to be used again by the next reader. Shared memory that is merely dropped stays for as long as any
 * thread that it was sent to has not collected its garbage, which a thread that makes none does not do: 4,000 readers in
 * a row took 4 GB that way.
 *
 * What is given back must be nobody's: no view of it is valid any more, and nobody fills it.
 */
export class WindowStore {
  /** By size, of which there are few. */
  readonly #windows = new Map<number, ReadWindow[]>()
  readonly #rings: WindowRing[] = []

  takeWindow(bytes = READ_CHUNK_BYTES): ReadWindow {
    const known = this.#windows.get(bytes)?.pop()
    if (known !== undefined) return known
    const memory = allocateShared(bytes)
    return { bytes, memory, region: new Region(memory) }
  }

  /** One that was made for something longer than usual is not kept. */
  giveWindow(window: ReadWindow): void {
    if (window.bytes > READ_CHUNK_BYTES) return
    const kept = this.#windows.get(window.bytes)
    if (kept === undefined) this.#windows.set(window.bytes, [window])
    else if (kept.length < KEPT_MAX) kept.push(window)
  }

  takeRing(): WindowRing {
    return this.#rings.pop() ?? WindowRing.allocate()
  }

  giveRing(ring: WindowRing): void {
    if (this.#rings.length >= KEPT_MAX) return
    ring.reset()
    this.#rings.push(ring)
  }
}
