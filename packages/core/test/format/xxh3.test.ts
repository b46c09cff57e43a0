import { describe, expect, it } from 'vitest'
import { allocateShared, Region } from '#core/format/region.js'
import { XXH3_BYTES_MIN } from '#core/format/xxh3.js'
import { XXH3_CODE } from '#core/format/xxh3-code.js'
import { compileText } from '../../../../scripts/wat.mjs'
import { makeXxh3 } from '../support/xxh3.js'

const BYTES = 3 * 1024 * 1024
const theirs = await makeXxh3()

/** The same bytes in memory that is hashed in place and in memory that is hashed by way of a copy. */
function regions(): { name: string; region: Region }[] {
  const inPlace = Region.allocateHashed(BYTES)
  for (let at = 0; at < BYTES; at += 4) inPlace.u32[at >>> 2] = Math.imul(at + 1, 0x9e37_79b1) ^ (at >>> 7)
  const copied = new Region(inPlace.u8.slice().buffer)
  const part = new Region(allocateShared(BYTES + 4096), 4096, BYTES)
  part.u8.set(inPlace.u8)
  return [
    { name: 'in place', region: inPlace },
    { name: 'in place, of a part of a memory', region: part },
    { name: 'by way of a copy', region: copied },
  ]
}

/** Around every length at which the algorithm goes another way, and where the copy goes another way. */
function lengths(): number[] {
  const lengths: number[] = []
  for (let length = XXH3_BYTES_MIN; length <= 1300; length++) lengths.push(length)
  for (const edge of [2048, 64 * 1024, 256 * 1024, 256 * 1024 + 1024, 512 * 1024, 1024 * 1024, 2 * 1024 * 1024]) {
    for (const by of [-65, -64, -63, -8, -1, 0, 1, 8, 63, 64, 65]) lengths.push(edge + by)
  }
  return lengths
}

describe('the checksum of a batch', () => {
  for (const { name, region } of regions()) {
    it(`is what another implementation of XXH3 says, for every length: ${name}`, () => {
      for (const length of lengths()) {
        for (const from of [0, 40, 1_000_008]) {
          const mine = region.hash(from, from + length)
          if (mine !== theirs(region.u8.subarray(from, from + length))) expect({ length, from }).toBe('the same')
        }
      }
    })
  }

  it('changes with every single bit of a batch', () => {
    const region = Region.allocateHashed(64 * 1024)
    region.u8.fill(0x5a)
    for (const length of [72, 136, 248, 1096]) {
      const sound = region.hash(40, 40 + length)
      for (let bit = 0; bit < length * 8; bit++) {
        region.u8[40 + (bit >>> 3)] ^= 1 << (bit & 7)
        expect(region.hash(40, 40 + length)).not.toBe(sound)
        region.u8[40 + (bit >>> 3)] ^= 1 << (bit & 7)
      }
    }
  })

  it('is computed by the code whose text is in the repository', async () => {
    const compiled = await compileText(new URL('../../src/format/xxh3.wat', import.meta.url))
    expect(Buffer.from(compiled).toString('base64')).toBe(XXH3_CODE)
  })
})
