import { randomBytes } from 'node:crypto'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BlockCodec } from '#core/compression/block-codec.js'
import { codecOf } from '#core/compression/codec.js'
import { lz4 } from '#core/compression/lz4.js'
import { makeZstd, zstd } from '#core/compression/zstd.js'
import { BLOCK_BYTES_MAX } from '#core/limits.js'

const hasBuiltIn = 'zstdDecompressSync' in zlib
const text = Buffer.from('{"origin":"SFO","destination":"LAX","delay":12}'.repeat(3000)).subarray(0, BLOCK_BYTES_MAX)

function again(codec: BlockCodec, source: Uint8Array, reader = codec): Uint8Array {
  const stored = Buffer.from(codec.compress(source))
  const target = new Uint8Array(source.length)
  expect(reader.decompress(stored, target)).toBe(true)
  return target
}

describe.each([
  ['zstd', zstd],
  ['zstd of the library', makeZstd(false)],
  ['lz4', lz4],
])('%s', (_, codec) => {
  it('gives back every byte of any block, up to the largest', () => {
    expect(Buffer.compare(again(codec, text), text)).toBe(0)
    const noise = randomBytes(BLOCK_BYTES_MAX)
    expect(Buffer.compare(again(codec, noise), noise)).toBe(0)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 2000 }), (source) => {
        expect(Buffer.compare(again(codec, source), source)).toBe(0)
      }),
      { numRuns: 100 },
    )
  })

  it('makes text less than a quarter', () => {
    expect(codec.compress(text).length).toBeLessThan(text.length / 4)
  })

  it('says so where bytes are not those of exactly so many, and goes on', () => {
    const stored = Buffer.from(codec.compress(text))
    expect(codec.decompress(stored, new Uint8Array(text.length - 1))).toBe(false)
    expect(codec.decompress(stored, new Uint8Array(text.length + 1))).toBe(false)
    expect(codec.decompress(stored.subarray(0, stored.length - 1), new Uint8Array(text.length))).toBe(false)
    expect(codec.decompress(new Uint8Array(0), new Uint8Array(text.length))).toBe(false)
    expect(codec.decompress(randomBytes(1000), new Uint8Array(text.length))).toBe(false)
    expect(codec.decompress(new Uint8Array(BLOCK_BYTES_MAX * 4), new Uint8Array(BLOCK_BYTES_MAX * 4))).toBe(false)
    expect(Buffer.compare(again(codec, text), text)).toBe(0)
  })
})

describe('zstd of Node and of the library', () => {
  // A frame of Node 24's own, of the text "walrus" 40 times over.
  const FRAME = 'KLUv/SDwbQAAMHdhbHJ1cwEA51ClCA=='

  it('read each the other’s frames', () => {
    const target = new Uint8Array(240)
    expect(makeZstd(false).decompress(Buffer.from(FRAME, 'base64'), target)).toBe(true)
    expect(Buffer.from(target).toString()).toBe('walrus'.repeat(40))
    if (!hasBuiltIn) return
    expect(Buffer.compare(again(makeZstd(true), text, makeZstd(false)), text)).toBe(0)
    expect(Buffer.compare(again(makeZstd(false), text, makeZstd(true)), text)).toBe(0)
  })
})

it('a codec is known by its number, and no other is', () => {
  expect([1, 2].map((number) => codecOf(number)?.name)).toEqual(['lz4', 'zstd'])
  expect([0, 3, 2 ** 31].map(codecOf)).toEqual([undefined, undefined, undefined])
})
