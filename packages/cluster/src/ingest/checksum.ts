import { crc32 } from 'node:zlib'

// Two checks of the same records. The content check does not depend on the order, so it can be taken of the source before
// anybody knows where a record will go; the chain does, and is kept for each producer in each partition.

/** A record with an empty key is another one than a record without a key. */
const KEYED = 1

/** What a record holds, in 32 bits. */
export function recordHash(value: Uint8Array, key: string | Uint8Array | null | undefined): number {
  return key === null || key === undefined ? crc32(value) : crc32(value, crc32(key, KEYED))
}

/** Any odd number does; this one's bits are well mixed. */
const CHAIN_FACTOR = 0x9e3779b1

/** The chain after one more record. For a given chain before, different hashes give different chains. */
export function chainNext(chain: number, hash: number): number {
  return Math.imul(((chain << 5) | (chain >>> 27)) ^ hash, CHAIN_FACTOR) >>> 0
}

export interface ContentCheck {
  records: number
  /** Of values and keys. */
  bytes: number
  /** Sum of the hashes, modulo 2^32. */
  sum: number
}

export const emptyContent = (): ContentCheck => ({ records: 0, bytes: 0, sum: 0 })

export function addRecord(content: ContentCheck, bytes: number, hash: number): void {
  content.records++
  content.bytes += bytes
  content.sum = (content.sum + hash) >>> 0
}

export function addContent(content: ContentCheck, other: ContentCheck): void {
  content.records += other.records
  content.bytes += other.bytes
  content.sum = (content.sum + other.sum) >>> 0
}

export function isSameContent(left: ContentCheck, right: ContentCheck): boolean {
  return left.records === right.records && left.bytes === right.bytes && left.sum === right.sum
}

/** What one producer has in one partition, in order. */
export interface Chain {
  partition: number
  producerId: number
  stream: number
  records: number
  chain: number
}
