import type { Region } from '@walrus-log/core'
import { OWN_MEMORY } from '../lane/record-lane.js'
import { LANE_LIFE_AT, laneAt } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { postLargeBatch } from '../message/large-batches.js'
import type { BatchesInFlight } from './batches-in-flight.js'

/** Where a lane's batches go that are too large for it. Owned by the lane. */
export class LargeSends {
  readonly #memory: SharedMemory
  readonly #lane: number
  readonly #writer: number
  readonly #inFlight: BatchesInFlight
  /** The last batch that travels in memory of its own. */
  #ownBatch: number | undefined

  constructor(memory: SharedMemory, lane: number, writer: number, inFlight: BatchesInFlight) {
    this.#memory = memory
    this.#lane = lane
    this.#writer = writer
    this.#inFlight = inFlight
  }

  /** A run of the arena, or `OWN_MEMORY` where there is none; -1 where a batch that has its own is in flight. */
  takeRun(length: number): number {
    const at = this.#memory.chunks.take(length)
    if (at >= 0) return at
    return this.hasOwnInFlight() ? -1 : OWN_MEMORY
  }

  hasOwnInFlight(): boolean {
    const isInFlight = (): boolean => this.#ownBatch !== undefined && this.#inFlight.isInFlight(this.#ownBatch)
    if (isInFlight()) this.#inFlight.collect()
    if (isInFlight()) return true
    this.#ownBatch = undefined
    return false
  }

  /** Hands the batch's own memory to the writer, before its reference is published. */
  post(region: Region): void {
    const number = this.#inFlight.published
    this.#ownBatch = number
    const life = this.#memory.words[laneAt(this.#lane) + LANE_LIFE_AT]
    const memory = region.u8.buffer as unknown as SharedArrayBuffer
    postLargeBatch(this.#memory, this.#writer, { lane: this.#lane, life, number, memory })
  }
}
