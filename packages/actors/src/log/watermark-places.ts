import path from 'node:path'
import { type TopicConfig, WATERMARK_BYTES, WATERMARKS_FILE, watermarkKey } from '@walrus-log/core'
import type { WatermarkPlace } from '../writer/watermark-publisher.js'

/** Which partition has which place in the namespace's file of watermarks. Owned by the host's thread. */
export class WatermarkPlaces {
  readonly #file: string
  readonly #opening: number
  readonly #places: Map<string, number>
  readonly #free: number[] = []
  #end = WATERMARK_BYTES

  /** `places` are those that the file has by now. */
  constructor(directory: string, opening: number, places: Map<string, number>) {
    this.#file = path.join(directory, WATERMARKS_FILE)
    this.#opening = opening
    this.#places = places
    for (const at of places.values()) this.#end = Math.max(this.#end, at + WATERMARK_BYTES)
  }

  take(topic: string, createdMs: number, partition: number): WatermarkPlace {
    const key = watermarkKey(topic, createdMs, partition)
    let at = this.#places.get(key)
    if (at === undefined) {
      at = this.#free.pop() ?? this.#end
      this.#end = Math.max(this.#end, at + WATERMARK_BYTES)
      this.#places.set(key, at)
    }
    return { file: this.#file, at, key, opening: this.#opening }
  }

  /** The topic is gone for good: other partitions may have the places of its own. */
  free({ name, createdMs, partitions }: TopicConfig): void {
    for (let partition = 0; partition < partitions; partition++) {
      const key = watermarkKey(name, createdMs, partition)
      const at = this.#places.get(key)
      if (at === undefined) continue
      this.#places.delete(key)
      this.#free.push(at)
    }
  }
}
