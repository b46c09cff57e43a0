import { WASM_PAGE_BYTES, type WasmMemory, wasm } from './wasm.js'
import { XXH3_CODE } from './xxh3-code.js'

/** The exports of `xxh3.wat`, over one memory. Positions are bytes of it; results are the low 32 bits, signed. */
export interface Xxh3 {
  /** The hash of `length` bytes, at least `XXH3_BYTES_MIN`. */
  hash(at: number, length: number): number
  /** Begins a hash of more than 240 bytes that are not all in the memory at once. */
  begin(): void
  /** Takes in `count` blocks of 1,024 bytes; more has to follow. */
  blocks(at: number, count: number): void
  /** Takes in the rest of `total` bytes, at least one; the 64 bytes before its end must be there. */
  end(at: number, length: number, total: number): number
}

/** Shorter inputs are never hashed: a batch has more. */
export const XXH3_BYTES_MIN = 17

/** Memory that `xxh3` hashes in place: the user's bytes from 0 on, and a last page for what the code itself needs. */
export function allocateHashed(bytes: number): WasmMemory {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES) + 1
  return new wasm.Memory({ initial: pages, maximum: pages, shared: true })
}

/** How many of a hashed memory's bytes are the user's. */
export const hashedBytes = (memory: WasmMemory): number => memory.buffer.byteLength - WASM_PAGE_BYTES

let code: object | undefined
const instances = new WeakMap<WasmMemory, Xxh3>()

/** XXH3 over a memory from `allocateHashed`, in the calling thread. Synchronous; some 2 KB of code. */
export function xxh3(memory: WasmMemory): Xxh3 {
  let instance = instances.get(memory)
  if (instance === undefined) {
    code ??= new wasm.Module(Buffer.from(XXH3_CODE, 'base64'))
    const secretAt = hashedBytes(memory)
    instance = new wasm.Instance(code, { walrus: { memory, secretAt } }).exports as Xxh3
    instances.set(memory, instance)
  }
  return instance
}

/** Bytes that are copied at a time, of memory that WebAssembly cannot see. */
const COPY_BYTES = 256 * 1024
const BLOCK_BYTES = 1024
const LOOK_BACK_BYTES = 64

/** One thread's room to copy to. */
let room: { bytes: Uint8Array; code: Xxh3 } | undefined

function makeRoom(): { bytes: Uint8Array; code: Xxh3 } {
  const memory = allocateHashed(LOOK_BACK_BYTES + COPY_BYTES)
  return { bytes: new Uint8Array(memory.buffer), code: xxh3(memory) }
}

/** The same hash of bytes in any memory, by way of a copy. */
export function hashCopied(source: Uint8Array, from: number, to: number): number {
  room ??= makeRoom()
  const { bytes, code } = room
  const total = to - from
  if (total <= COPY_BYTES) {
    bytes.set(source.subarray(from, to))
    return code.hash(0, total)
  }
  code.begin()
  let at = from
  for (; to - at > COPY_BYTES; at += COPY_BYTES) {
    bytes.set(source.subarray(at, at + COPY_BYTES), LOOK_BACK_BYTES)
    code.blocks(LOOK_BACK_BYTES, COPY_BYTES / BLOCK_BYTES)
  }
  bytes.set(source.subarray(at - LOOK_BACK_BYTES, to))
  return code.end(LOOK_BACK_BYTES, to - at, total)
}
