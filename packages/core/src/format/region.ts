import { endianness } from 'node:os'
import type { WasmMemory } from './wasm.js'
import { allocateHashed, hashCopied, hashedBytes, type Xxh3, xxh3 } from './xxh3.js'

if (endianness() !== 'LE') {
  throw new Error('Walrus for Node addresses its little-endian format in place and runs on little-endian hosts only')
}

/**
 * One piece of memory under the views that the format code needs, so that none is made per record or per batch.
 * Owns nothing: the buffer stays the creator's. Positions are bytes and, for `u32` and `f64`, multiples of 4 and 8.
 */
export class Region {
  readonly u8: Uint8Array
  readonly u32: Uint32Array
  readonly f64: Float64Array
  readonly bytes: Buffer
  readonly byteLength: number
  /** Hashes in place; undefined in memory that WebAssembly cannot see. */
  readonly #code: Xxh3 | undefined
  readonly #buffer: ArrayBufferLike
  /** Where this piece begins in its buffer. */
  readonly #from: number

  /**
   * Views over `memory`, or over `bytes` of it from `from` on (a multiple of 8). Memory from `allocateHashed` is hashed where
   * it lies, any other by way of a copy.
   */
  constructor(memory: ArrayBufferLike | WasmMemory, from = 0, bytes?: number) {
    const isHashed = 'buffer' in memory
    const buffer = isHashed ? memory.buffer : memory
    const byteLength = bytes ?? (isHashed ? hashedBytes(memory) : memory.byteLength) - from
    this.u8 = new Uint8Array(buffer, from, byteLength)
    this.u32 = new Uint32Array(buffer, from, byteLength >>> 2)
    this.f64 = new Float64Array(buffer, from, byteLength >>> 3)
    this.bytes = Buffer.from(buffer as ArrayBuffer, from, byteLength)
    this.byteLength = byteLength
    this.#code = isHashed ? xxh3(memory) : undefined
    this.#buffer = buffer
    this.#from = from
  }

  static allocate(bytes: number): Region {
    return new Region(new ArrayBuffer(Math.ceil(bytes / 8) * 8))
  }

  /** At least `bytes`, for windows that are filled again and again: batches in them are checked in place. */
  static allocateHashed(bytes: number): Region {
    return new Region(allocateShared(bytes))
  }

  /** A view of some bytes: half the cost of `u8.subarray`, which asks the array for its kind first. */
  view(at: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#buffer, this.#from + at, bytes)
  }

  /** XXH3 of the bytes in [from, to), at least `XXH3_BYTES_MIN` of them: the low 32 bits. */
  hash(from: number, to: number): number {
    if (this.#code === undefined) return hashCopied(this.u8, from, to) >>> 0
    return this.#code.hash(this.#from + from, to - from) >>> 0
  }
}

/**
 * Shared memory of at least `bytes`: such that it is hashed in place, or a plain one where there is none to be had, for the
 * former takes some gigabytes of address space each, which a process may be denied.
 */
export function allocateShared(bytes: number): WasmMemory | SharedArrayBuffer {
  try {
    return allocateHashed(bytes)
  } catch {
    return new SharedArrayBuffer(Math.ceil(bytes / 8) * 8)
  }
}

const TWO_32 = 4_294_967_296

/** Reads an unsigned 64-bit number; beyond 2^53 the result is not exact, which callers refuse by range. */
export function readU64(region: Region, at: number): number {
  return region.u32[at >>> 2] + region.u32[(at >>> 2) + 1] * TWO_32
}

export function writeU64(region: Region, at: number, value: number): void {
  region.u32[at >>> 2] = value >>> 0
  region.u32[(at >>> 2) + 1] = Math.floor(value / TWO_32)
}
