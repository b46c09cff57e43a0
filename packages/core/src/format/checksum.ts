import { crc32 } from 'node:zlib'
import type { Region } from './region.js'

/**
 * CRC-32 (IEEE 802.3, as in zlib) of `region` from `from` up to `to`, through zlib: for whole small files. Bodies of batches
 * have a faster one, `Region.hash`.
 */
export function checksum(region: Region, from: number, to: number): number {
  return crc32(region.u8.subarray(from, to))
}

const TABLE = new Uint32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb8_8320 : remainder >>> 1
  TABLE[byte] = remainder
}

/** The same CRC-32 in plain code, without a call out of JavaScript or a view: right for the few bytes of a header. */
export function checksumSmall(region: Region, from: number, to: number): number {
  const bytes = region.u8
  let crc = -1
  for (let at = from; at < to; at++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[at]) & 0xff]
  return ~crc >>> 0
}

/** Continues a digest over one 32-bit word (its four bytes, low first); start with 0. */
export function digestWord(digest: number, word: number): number {
  let crc = ~digest
  for (let shift = 0; shift < 32; shift += 8) crc = (crc >>> 8) ^ TABLE[(crc ^ (word >>> shift)) & 0xff]
  return ~crc >>> 0
}
