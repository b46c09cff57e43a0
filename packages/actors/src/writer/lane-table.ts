import {
  LANE_OPEN,
  LANE_PARTITION_AT,
  LANE_STATE_AT,
  LANE_WRITER_AT,
  LANE_WRITTEN_AT,
  LANES_MAX,
  laneAt,
  READY_WORDS,
  WRITER_LANE_GROUPS_AT,
  WRITER_LANES_CHANGED_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'

const LANES_A_GROUP = 32
const NO_LANES: readonly number[] = []

/** How many batches of each lane had been written at one moment; what of them is behind the point is settled later. */
export interface WrittenSnapshot {
  lanes: readonly number[]
  counts: number[]
}

/**
 * The open lanes that lead to a writer, by partition slot; one thread's. When the writer's counter says that lanes were
 * opened or closed, those groups are read anew whose own counters have moved.
 *
 * Invariant: a lane stands in the list of `slotOf[lane]` and in no other; lists are replaced, never changed.
 */
export class LaneTable {
  readonly #memory: SharedMemory
  readonly #writer: number
  readonly #at: number
  #changedSeen = 0
  readonly #groupsSeen = new Int32Array(READY_WORDS)
  readonly #slotOf = new Int32Array(LANES_MAX).fill(-1)
  readonly #bySlot = new Map<number, readonly number[]>()

  constructor(memory: SharedMemory, writer: number) {
    this.#memory = memory
    this.#writer = writer
    this.#at = writerAt(writer)
  }

  of(slot: number): readonly number[] {
    const changed = this.#changed
    if (changed !== this.#changedSeen) {
      this.#changedSeen = changed
      this.#readGroups()
    }
    return this.#bySlot.get(slot) ?? NO_LANES
  }

  /**
   * A partition's lanes, and what of each was written. A lane may be given back and taken to another partition at any
   * moment, but the counter has moved before its first batch there is written: with the counter where it was, the counts
   * are this partition's.
   */
  snapshot(slot: number): WrittenSnapshot {
    const { words } = this.#memory
    for (;;) {
      const lanes = this.of(slot)
      const counts = lanes.map((lane) => Atomics.load(words, laneAt(lane) + LANE_WRITTEN_AT))
      if (this.#changed === this.#changedSeen) return { lanes, counts }
    }
  }

  get #changed(): number {
    return Atomics.load(this.#memory.words, this.#at + WRITER_LANES_CHANGED_AT)
  }

  #readGroups(): void {
    const groupsAt = this.#at + WRITER_LANE_GROUPS_AT
    for (let group = 0; group < READY_WORDS; group++) {
      const changed = Atomics.load(this.#memory.words, groupsAt + group)
      if (changed === this.#groupsSeen[group]) continue
      this.#groupsSeen[group] = changed
      for (let lane = group * LANES_A_GROUP; lane < (group + 1) * LANES_A_GROUP; lane++) this.#read(lane)
    }
  }

  #read(lane: number): void {
    const { words } = this.#memory
    const at = laneAt(lane)
    const isMine = Atomics.load(words, at + LANE_STATE_AT) === LANE_OPEN && words[at + LANE_WRITER_AT] === this.#writer
    const slot = isMine ? words[at + LANE_PARTITION_AT] : -1
    const before = this.#slotOf[lane]
    if (slot === before) return
    this.#slotOf[lane] = slot
    if (before >= 0)
      this.#replace(
        before,
        this.#bySlot.get(before)!.filter((other) => other !== lane),
      )
    if (slot >= 0) this.#replace(slot, [...(this.#bySlot.get(slot) ?? NO_LANES), lane])
  }

  #replace(slot: number, lanes: readonly number[]): void {
    if (lanes.length === 0) this.#bySlot.delete(slot)
    else this.#bySlot.set(slot, lanes)
  }
}
