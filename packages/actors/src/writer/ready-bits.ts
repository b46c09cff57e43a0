import {
  READY_WORDS,
  WRITER_LANE_GROUPS_AT,
  WRITER_LANES_CHANGED_AT,
  WRITER_READY_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { setBit } from '../memory/slot-bits.js'

/**
 * A writer's ready bits. Only those words are looked at that a lane to this writer ever stood in: a sender moves
 * `LANES_CHANGED` before it sets its lane's first bit and looks at the doorbell after that, so that a look behind the
 * announcement of a sleep that does not see the one is rung for by the other.
 */
export class ReadyBits {
  readonly #memory: SharedMemory
  readonly #writer: number
  readonly #at: number
  #changedSeen = -1
  #words = 0

  constructor(memory: SharedMemory, writer: number) {
    this.#memory = memory
    this.#writer = writer
    this.#at = writerAt(writer) + WRITER_READY_AT
  }

  get hasAny(): boolean {
    const count = this.#count()
    for (let word = 0; word < count; word++) if (Atomics.load(this.#memory.words, this.#at + word) !== 0) return true
    return false
  }

  /** Takes all bits that are set, and says which lanes they stand for. */
  take(onLane: (lane: number) => void): boolean {
    const { words } = this.#memory
    const count = this.#count()
    let hasAny = false
    for (let word = 0; word < count; word++) {
      if (Atomics.load(words, this.#at + word) === 0) continue
      for (let bits = Atomics.exchange(words, this.#at + word, 0); bits !== 0; bits &= bits - 1) {
        onLane(word * 32 + 31 - Math.clz32(bits & -bits))
        hasAny = true
      }
    }
    return hasAny
  }

  set(lane: number): void {
    setBit(this.#memory.words, this.#at, lane)
  }

  #count(): number {
    const { words } = this.#memory
    const at = writerAt(this.#writer)
    const changed = Atomics.load(words, at + WRITER_LANES_CHANGED_AT)
    if (changed !== this.#changedSeen) {
      this.#changedSeen = changed
      let last = READY_WORDS - 1
      while (last >= this.#words && Atomics.load(words, at + WRITER_LANE_GROUPS_AT + last) === 0) last--
      this.#words = Math.max(this.#words, last + 1)
    }
    return this.#words
  }
}
