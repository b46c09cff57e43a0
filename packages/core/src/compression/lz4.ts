import { createRequire } from 'node:module'
import type { BlockCodec } from './block-codec.js'

/** What is used of `lz4-wasm-nodejs`: blocks of LZ4 behind their length before compression, a u32. */
interface Lz4 {
  compress(source: Uint8Array): Uint8Array
  decompress(stored: Uint8Array): Uint8Array
}

const LENGTH_BYTES = 4

let made: Lz4 | undefined

/** Made when it is first asked for: most threads never do. */
function library(): Lz4 {
  made ??= createRequire(import.meta.url)('lz4-wasm-nodejs') as Lz4
  return made
}

export const lz4: BlockCodec = {
  compress: (source) => library().compress(source),

  decompress(stored, target) {
    // The library takes the length for what it will need; it must not ask for more than there is to fill.
    if (stored.length < LENGTH_BYTES) return false
    const length = new DataView(stored.buffer, stored.byteOffset, LENGTH_BYTES).getUint32(0, true)
    if (length !== target.length) return false
    try {
      const bytes = library().decompress(stored)
      if (bytes.length !== target.length) return false
      target.set(bytes)
      return true
    } catch {
      return false
    }
  },
}
