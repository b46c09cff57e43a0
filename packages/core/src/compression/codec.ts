import { BLOCK_CODEC_LZ4, BLOCK_CODEC_ZSTD } from '../format/layout.js'
import type { BlockCodec } from './block-codec.js'
import { lz4 } from './lz4.js'
import { zstd } from './zstd.js'

/** How the blocks of a sealed segment are compressed, in the user's words. */
export type Compression = 'lz4' | 'zstd'

export const CODEC_NUMBERS: Readonly<Record<Compression, number>> = { lz4: BLOCK_CODEC_LZ4, zstd: BLOCK_CODEC_ZSTD }

/** The codec that a file names; undefined where this version knows none of that number. */
export function codecOf(number: number): { name: Compression; codec: BlockCodec } | undefined {
  if (number === BLOCK_CODEC_LZ4) return { name: 'lz4', codec: lz4 }
  if (number === BLOCK_CODEC_ZSTD) return { name: 'zstd', codec: zstd }
  return undefined
}
