import { randomInt } from 'node:crypto'
import { allocateShared, Region, type WasmMemory } from '@walrus-log/core'
import { Arena } from './arena.js'
import {
  CONTROL_WORDS,
  HEADER_MAGIC_AT,
  HEADER_STATE_AT,
  HEADER_TOKEN_AT,
  MEMORY_MAGIC,
  POINT_WORDS,
  partitionAt,
  STATE_CLOSED,
  STATE_OPEN,
} from './layout.js'

/** A place up to which a partition's bytes are written, or acknowledged. */
export interface Point {
  baseOffset: number
  position: number
  offset: number
}

/** The two memories as they travel between threads. */
export interface SharedBuffers {
  control: SharedArrayBuffer
  arena: WasmMemory | SharedArrayBuffer
}

/** One thread's views over the memory that all threads of an open log share. Holds no state of its own. */
export class SharedMemory {
  readonly buffers: SharedBuffers
  readonly words: Int32Array
  readonly doubles: Float64Array
  readonly wide: BigInt64Array
  readonly arena: Region
  readonly chunks: Arena

  constructor(buffers: SharedBuffers) {
    this.buffers = buffers
    this.words = new Int32Array(buffers.control)
    this.doubles = new Float64Array(buffers.control)
    this.wide = new BigInt64Array(buffers.control)
    this.arena = new Region(buffers.arena)
    this.chunks = new Arena(this.words, this.arena.byteLength)
  }

  /** Makes the memory of a new log. Pages that nobody touches cost address space only. */
  static allocate(arenaBytes: number): SharedMemory {
    const memory = new SharedMemory({
      control: new SharedArrayBuffer(CONTROL_WORDS * 4),
      arena: allocateShared(arenaBytes),
    })
    memory.words[HEADER_MAGIC_AT] = MEMORY_MAGIC
    for (const word of [0, 1]) memory.words[HEADER_TOKEN_AT + word] = randomInt(0x7fff_ffff)
    return memory
  }

  get isOpen(): boolean {
    return Atomics.load(this.words, HEADER_STATE_AT) === STATE_OPEN
  }

  get isClosed(): boolean {
    return Atomics.load(this.words, HEADER_STATE_AT) === STATE_CLOSED
  }

  /** Reads a point that its owner may be moving: the copy that is selected is never the one being written. */
  readPoint(selectAt: number, copiesAt: number): Point {
    for (;;) {
      const select = Atomics.load(this.words, selectAt)
      const at = (copiesAt + (select & 1) * POINT_WORDS) >>> 1
      const baseOffset = Number(Atomics.load(this.wide, at))
      const position = Number(Atomics.load(this.wide, at + 1))
      const offset = Number(Atomics.load(this.wide, at + 2))
      if (Atomics.load(this.words, selectAt) === select) return { baseOffset, position, offset }
    }
  }

  /** Moves a point. One thread at a time: its owner. */
  writePoint(selectAt: number, copiesAt: number, baseOffset: number, position: number, offset: number): void {
    const select = Atomics.load(this.words, selectAt) + 1
    const at = (copiesAt + (select & 1) * POINT_WORDS) >>> 1
    Atomics.store(this.wide, at, BigInt(baseOffset))
    Atomics.store(this.wide, at + 1, BigInt(position))
    Atomics.store(this.wide, at + 2, BigInt(offset))
    Atomics.store(this.words, selectAt, select)
  }

  /** The offset of a partition's point, without making an object. */
  readPointOffset(slot: number, selectAt: number, copiesAt: number): number {
    const base = partitionAt(slot)
    for (;;) {
      const select = Atomics.load(this.words, base + selectAt)
      const offset = Number(Atomics.load(this.wide, ((base + copiesAt + (select & 1) * POINT_WORDS) >>> 1) + 2))
      if (Atomics.load(this.words, base + selectAt) === select) return offset
    }
  }
}
