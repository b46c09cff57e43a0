import { endianness } from 'node:os'

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

  constructor(memory: ArrayBufferLike) {
    this.u8 = new Uint8Array(memory)
    this.u32 = new Uint32Array(memory, 0, memory.byteLength >>> 2)
    this.f64 = new Float64Array(memory, 0, memory.byteLength >>> 3)
    this.bytes = Buffer.from(memory as ArrayBuffer)
    this.byteLength = memory.byteLength
  }

  static allocate(bytes: number): Region {
    return new Region(new ArrayBuffer(Math.ceil(bytes / 8) * 8))
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
