/** As many different values as keep a producer from sending one cached line again and again, and stay in its cache. */
const VALUES = 64

/** The values that a case sends, in turn; record number n carries value n modulo their count. The same in all threads. */
export function makeValues(recordBytes: number): Uint8Array[] {
  let state = recordBytes
  return Array.from({ length: VALUES }, () => {
    const value = new Uint8Array(recordBytes)
    for (let at = 0; at < recordBytes; at++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      value[at] = state >>> 24
    }
    return value
  })
}

/** `bytes` of those values, one behind the other. */
export function makeChunk(recordBytes: number, bytes: number): Uint8Array {
  const values = makeValues(recordBytes)
  const chunk = new Uint8Array(bytes)
  for (let at = 0, turn = 0; at < bytes; at += recordBytes, turn++) {
    chunk.set(values[turn % VALUES].subarray(0, Math.min(recordBytes, bytes - at)), at)
  }
  return chunk
}
