import type { Region } from '@walrus-log/core'
import { Packr } from 'msgpackr'
import { LaneReader } from '../lane/lane-reader.js'
import { LaneWriter } from '../lane/lane-writer.js'
import { AtomicWords, type LaneFraming, type LanePlace } from '../lane/layout.js'

/** A message entry: length, kind, length of the payload, 0; then a part of a msgpack message. */
export const MESSAGE_FRAMING: LaneFraming = { frameAt: 0, entryBytesMin: 16 }
const HEADER_BYTES = 16
const KIND_PART = 0x4d50_4152
const KIND_LAST = 0x4d4c_5354

/** Longer messages travel in parts of at most this size, so that any message fits any lane. */
const PART_BYTES_MAX = 8 * 1024

// Records, because without them a `Map` arrives as an object. Each message brings its own: nothing is shared.
const packr = new Packr({ useRecords: true, moreTypes: true, copyBuffers: true })

/** Sends msgpack messages over a lane, in order; what has no room waits in this thread. */
export class MessageSender {
  readonly #region: Region
  readonly #lane: LaneWriter
  readonly #waiting: Uint8Array[] = []
  readonly #partBytes: number
  #partFrom = 0
  readonly #ring: () => void

  constructor(region: Region, words: Int32Array, place: LanePlace, ring: () => void) {
    this.#region = region
    this.#lane = new LaneWriter(region, new AtomicWords(words), place, MESSAGE_FRAMING)
    this.#partBytes = Math.min(PART_BYTES_MAX, this.#lane.entryBytesMax - HEADER_BYTES)
    this.#ring = ring
  }

  send(message: unknown): void {
    this.#waiting.push(Uint8Array.prototype.slice.call(packr.pack(message)))
    this.flush()
  }

  /** Sends what waits, as far as there is room. Returns whether something still waits. */
  flush(): boolean {
    let sent = false
    while (this.#waiting.length > 0) {
      const bytes = this.#waiting[0]
      const part = bytes.subarray(this.#partFrom, this.#partFrom + this.#partBytes)
      const entryBytes = HEADER_BYTES + ((part.length + 7) & ~7)
      const at = this.#lane.claim(entryBytes)
      if (at < 0) break
      const isLast = this.#partFrom + part.length === bytes.length
      const word = at >>> 2
      this.#region.u32[word] = entryBytes
      this.#region.u32[word + 1] = isLast ? KIND_LAST : KIND_PART
      this.#region.u32[word + 2] = part.length
      this.#region.u32[word + 3] = 0
      this.#region.u8.set(part, at + HEADER_BYTES)
      this.#lane.publish(at + entryBytes)
      sent = true
      this.#partFrom += part.length
      if (!isLast) continue
      this.#waiting.shift()
      this.#partFrom = 0
    }
    if (sent) this.#ring()
    return this.#waiting.length > 0
  }
}

/** Receives msgpack messages from a lane. Every message is in memory of its own. */
export class MessageReceiver {
  readonly #region: Region
  readonly #lane: LaneReader
  #parts: Uint8Array[] = []
  readonly #onRoom: () => void

  constructor(region: Region, words: Int32Array, place: LanePlace, onRoom: () => void) {
    this.#region = region
    this.#lane = new LaneReader(region, new AtomicWords(words), place, MESSAGE_FRAMING)
    this.#onRoom = onRoom
  }

  /** All messages that are complete by now. */
  receive(): unknown[] {
    if (!this.#lane.look()) return []
    const messages: unknown[] = []
    for (let at = this.#lane.next(); at >= 0; at = this.#lane.next()) {
      const word = at >>> 2
      const length = this.#region.u32[word + 2]
      this.#parts.push(this.#region.u8.slice(at + HEADER_BYTES, at + HEADER_BYTES + length))
      if (this.#region.u32[word + 1] !== KIND_LAST) continue
      messages.push(packr.unpack(this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts)))
      this.#parts = []
    }
    this.#lane.release()
    this.#onRoom()
    return messages
  }
}
