/** Compresses and decompresses one block, in the calling thread and at once. */
export interface BlockCodec {
  /** Returns the compressed bytes, which are valid until the next call; they may be more than there were. */
  compress(source: Uint8Array): Uint8Array
  /** Fills `target` from the compressed bytes. False where they are not those of exactly so many bytes. */
  decompress(stored: Uint8Array, target: Uint8Array): boolean
}
