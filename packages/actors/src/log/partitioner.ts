import { shown, WalrusError } from '@walrus-log/core'
import { isBytes } from './codec.js'

/**
 * MurmurHash2 of `bytes` with Kafka's seed, as a signed 32-bit number: the same key goes to the same partition number as
 * with Kafka's Java client. Algorithm: Austin Appleby's MurmurHash2; seed and use as in Apache Kafka's `Utils.murmur2`.
 */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes
  const m = 0x5bd1e995
  let hash = 0x9747b28c ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    let word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    word = Math.imul(word, m)
    word ^= word >>> 24
    word = Math.imul(word, m)
    hash = Math.imul(hash, m) ^ word
  }
  const left = length - at
  if (left === 3) hash ^= bytes[at + 2] << 16
  if (left >= 2) hash ^= bytes[at + 1] << 8
  if (left >= 1) hash = Math.imul(hash ^ bytes[at], m)
  hash ^= hash >>> 13
  hash = Math.imul(hash, m)
  return hash ^ (hash >>> 15)
}

/** The partition of a key. Throws `INVALID_ARGUMENT` for what is no key, or no number of partitions. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  if (!isBytes(key)) {
    throw new WalrusError('INVALID_ARGUMENT', `a key's bytes are a Uint8Array, ${shown(key)} was given; encode it`, {
      field: 'key',
    })
  }
  if (!Number.isSafeInteger(partitions) || partitions < 1) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `a topic has one partition or more, ${shown(partitions)} was given; pass the topic's own number`,
      { field: 'partitions' },
    )
  }
  return (murmur2(key) & 0x7fff_ffff) % partitions
}
