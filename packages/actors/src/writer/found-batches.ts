import { batchBaseOffset, batchProducerId, batchSequenceFirst, type Region } from '@walrus-log/core'

/** Base offsets of batches that a dead writer may not have taken out of their lanes, by producer and first sequence. */
export class FoundBatches {
  readonly #offsets = new Map<number, Map<number, number>>()

  add(region: Region, at: number): void {
    const producer = batchProducerId(region, at)
    let offsets = this.#offsets.get(producer)
    if (offsets === undefined) {
      offsets = new Map()
      this.#offsets.set(producer, offsets)
    }
    offsets.set(batchSequenceFirst(region, at), batchBaseOffset(region, at))
  }

  offsetOf(producerId: number, sequenceFirst: number): number | undefined {
    return this.#offsets.get(producerId)?.get(sequenceFirst)
  }
}
