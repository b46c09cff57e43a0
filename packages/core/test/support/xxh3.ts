import { createXXHash3 } from 'hash-wasm'

/** Somebody else's XXH3-64 with seed 0: its low 32 bits. */
export async function makeXxh3(): Promise<(bytes: Uint8Array) => number> {
  const hasher = await createXXHash3(0, 0)
  return (bytes) => Number.parseInt(hasher.init().update(bytes).digest('hex').slice(8), 16)
}
