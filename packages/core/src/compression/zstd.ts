import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import zlib from 'node:zlib'
import { wasm } from '../format/wasm.js'
import { BLOCK_BYTES_MAX } from '../limits.js'
import type { BlockCodec } from './block-codec.js'

/** Node's own, from 22.15 and 23.8 on. */
interface BuiltIn {
  zstdCompressSync(source: Uint8Array, options: { params: Record<number, number> }): Uint8Array
  zstdDecompressSync(source: Uint8Array, options: { maxOutputLength: number }): Uint8Array
  constants: { ZSTD_c_compressionLevel: number }
}

/** Of blocks of this size in flight records, level 1 made no less than level 3, and was faster. */
const LEVEL = 1

/** What of `@bokuweb/zstd-wasm` is used: its module, which can also be started without a promise. */
interface WasmModule {
  HEAPU8: Uint8Array
  instantiateWasm?: (imports: Record<string, Record<string, unknown>>, receive: (instance: object) => void) => object
  init(): void
  _malloc(bytes: number): number
  _ZSTD_compressBound(bytes: number): number
  _ZSTD_compress(to: number, capacity: number, from: number, bytes: number, level: number): number
  _ZSTD_decompress(to: number, capacity: number, from: number, bytes: number): number
}

/** The codec of a Node that has none of its own: one instance a thread, made when it is first asked for. */
class WasmZstd implements BlockCodec {
  readonly #module: WasmModule
  readonly #sourceAt: number
  readonly #targetAt: number
  readonly #targetBytes: number

  constructor() {
    this.#module = startModule()
    this.#targetBytes = this.#module._ZSTD_compressBound(BLOCK_BYTES_MAX)
    this.#sourceAt = this.#module._malloc(this.#targetBytes)
    this.#targetAt = this.#module._malloc(this.#targetBytes)
  }

  compress(source: Uint8Array): Uint8Array {
    const module = this.#module
    module.HEAPU8.set(source, this.#sourceAt)
    const bytes = module._ZSTD_compress(this.#targetAt, this.#targetBytes, this.#sourceAt, source.length, LEVEL)
    // A result that is an error's is far more than a block can have.
    return bytes >>> 0 > this.#targetBytes ? source : module.HEAPU8.subarray(this.#targetAt, this.#targetAt + bytes)
  }

  decompress(stored: Uint8Array, target: Uint8Array): boolean {
    const module = this.#module
    if (stored.length > this.#targetBytes || target.length > this.#targetBytes) return false
    module.HEAPU8.set(stored, this.#sourceAt)
    const bytes = module._ZSTD_decompress(this.#targetAt, target.length, this.#sourceAt, stored.length)
    if (bytes !== target.length) return false
    target.set(module.HEAPU8.subarray(this.#targetAt, this.#targetAt + bytes))
    return true
  }
}

/**
 * The package's own `init` waits for a file and a promise; a reader has to have its bytes at once. Its module takes an
 * instance that somebody else has made.
 */
function startModule(): WasmModule {
  const entry = createRequire(import.meta.url).resolve('@bokuweb/zstd-wasm')
  const { Module: module } = createRequire(entry)('./zstd.js') as { Module: WasmModule }
  const code = fs.readFileSync(path.join(path.dirname(entry), 'zstd.wasm'))
  module.instantiateWasm = (imports, receive) => {
    const instance = new wasm.Instance(new wasm.Module(code), imports)
    receive(instance)
    return instance.exports
  }
  module.init()
  return module
}

class BuiltInZstd implements BlockCodec {
  readonly #zlib: BuiltIn

  constructor(builtIn: BuiltIn) {
    this.#zlib = builtIn
  }

  compress(source: Uint8Array): Uint8Array {
    return this.#zlib.zstdCompressSync(source, { params: { [this.#zlib.constants.ZSTD_c_compressionLevel]: LEVEL } })
  }

  decompress(stored: Uint8Array, target: Uint8Array): boolean {
    try {
      const bytes = this.#zlib.zstdDecompressSync(stored, { maxOutputLength: target.length })
      if (bytes.length !== target.length) return false
      target.set(bytes)
      return true
    } catch {
      return false
    }
  }
}

/** The library has one instance a thread: its module is the thread's. */
let ofLibrary: WasmZstd | undefined

/** zstd by Node, where it has it, else by the library. Both write frames that both read. */
export function makeZstd(isBuiltIn = 'zstdDecompressSync' in zlib): BlockCodec {
  if (isBuiltIn) return new BuiltInZstd(zlib as unknown as BuiltIn)
  ofLibrary ??= new WasmZstd()
  return ofLibrary
}

let made: BlockCodec | undefined

function codec(): BlockCodec {
  made ??= makeZstd()
  return made
}

export const zstd: BlockCodec = {
  compress: (source) => codec().compress(source),
  decompress: (stored, target) => codec().decompress(stored, target),
}
