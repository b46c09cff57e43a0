import { WalrusError } from '../errors.js'
import { checksum } from './checksum.js'
import { hex } from './index-file.js'
import {
  FORMAT_VERSION,
  PRODUCER_BYTES,
  PRODUCERS_BASE_OFFSET_AT,
  PRODUCERS_CHECK_AT,
  PRODUCERS_COUNT_AT,
  PRODUCERS_HEADER_BYTES,
  PRODUCERS_MAGIC,
  PRODUCERS_MAGIC_AT,
  PRODUCERS_OFFSET_END_AT,
  PRODUCERS_RESERVED_AT,
  PRODUCERS_SEGMENT_ID_AT,
  PRODUCERS_VERSION_AT,
  RECENT_BATCH_BYTES,
} from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

/** What a `.producers` file says: how far each named producer had come when its segment was full. */
export interface ProducersFile {
  /** The segment that it stands beside, and the offset one past that segment's last: it speaks of nothing behind it. */
  segmentId: number
  baseOffset: number
  offsetEnd: number
  producers: readonly StoredProducer[]
}

export interface StoredProducer {
  id: number
  epoch: number
  /** One past the last sequence that was accepted. */
  sequenceNext: number
  recent: readonly { sequenceFirst: number; recordCount: number; baseOffset: number }[]
}

/** Returns the file's bytes, the caller's to keep. */
export function encodeProducers(file: ProducersFile): Uint8Array {
  let bytes = PRODUCERS_HEADER_BYTES
  for (const { recent } of file.producers) bytes += PRODUCER_BYTES + recent.length * RECENT_BATCH_BYTES
  const region = Region.allocate(bytes)
  const { u32 } = region
  u32[PRODUCERS_MAGIC_AT >>> 2] = PRODUCERS_MAGIC
  u32[PRODUCERS_VERSION_AT >>> 2] = FORMAT_VERSION
  u32[PRODUCERS_SEGMENT_ID_AT >>> 2] = file.segmentId
  u32[PRODUCERS_COUNT_AT >>> 2] = file.producers.length
  writeU64(region, PRODUCERS_BASE_OFFSET_AT, file.baseOffset)
  writeU64(region, PRODUCERS_OFFSET_END_AT, file.offsetEnd)
  let at = PRODUCERS_HEADER_BYTES
  for (const { id, epoch, sequenceNext, recent } of file.producers) {
    writeU64(region, at, id)
    writeU64(region, at + 8, sequenceNext)
    u32[(at + 16) >>> 2] = epoch
    u32[(at + 20) >>> 2] = recent.length
    at += PRODUCER_BYTES
    for (const { sequenceFirst, recordCount, baseOffset } of recent) {
      writeU64(region, at, sequenceFirst)
      writeU64(region, at + 8, baseOffset)
      u32[(at + 16) >>> 2] = recordCount
      at += RECENT_BATCH_BYTES
    }
  }
  // The check word is zero while the checksum is taken over the whole file.
  u32[PRODUCERS_CHECK_AT >>> 2] = checksum(region, 0, bytes)
  return region.u8
}

/** Decodes a whole file. Throws `FORMAT_VERSION` or `SEGMENT_CORRUPT`, naming `name`. */
export function decodeProducers(bytes: Uint8Array, name: string): ProducersFile {
  const region = Region.allocate(bytes.length)
  region.u8.set(bytes)
  const { u32 } = region
  if (
    bytes.length < PRODUCERS_HEADER_BYTES ||
    bytes.length % 8 !== 0 ||
    u32[PRODUCERS_MAGIC_AT >>> 2] !== PRODUCERS_MAGIC
  ) {
    throw corrupt(name, 'is not a whole file of producers')
  }
  const expected = u32[PRODUCERS_CHECK_AT >>> 2]
  u32[PRODUCERS_CHECK_AT >>> 2] = 0
  const found = checksum(region, 0, bytes.length)
  if (expected !== found) throw corrupt(name, `has checksum ${hex(found)}, ${hex(expected)} expected`)
  const version = u32[PRODUCERS_VERSION_AT >>> 2]
  let reserved = 0
  for (let byte = PRODUCERS_RESERVED_AT; byte < PRODUCERS_CHECK_AT; byte++) reserved |= region.u8[byte]
  if (version !== FORMAT_VERSION || reserved !== 0) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${name} has producers format ${version}${reserved === 0 ? '' : ' with unknown fields'}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file: name },
    )
  }
  const producers: StoredProducer[] = []
  let at = PRODUCERS_HEADER_BYTES
  for (let left = u32[PRODUCERS_COUNT_AT >>> 2]; left > 0; left--) {
    if (at + PRODUCER_BYTES > bytes.length) throw corrupt(name, 'ends within a producer')
    const recentCount = u32[(at + 20) >>> 2]
    const end = at + PRODUCER_BYTES + recentCount * RECENT_BATCH_BYTES
    if (end > bytes.length) throw corrupt(name, 'ends within a producer')
    const recent: { sequenceFirst: number; recordCount: number; baseOffset: number }[] = []
    for (let batchAt = at + PRODUCER_BYTES; batchAt < end; batchAt += RECENT_BATCH_BYTES) {
      recent.push({
        sequenceFirst: readU64(region, batchAt),
        baseOffset: readU64(region, batchAt + 8),
        recordCount: u32[(batchAt + 16) >>> 2],
      })
    }
    producers.push({
      id: readU64(region, at),
      sequenceNext: readU64(region, at + 8),
      epoch: u32[(at + 16) >>> 2],
      recent,
    })
    at = end
  }
  if (at !== bytes.length) throw corrupt(name, 'goes on behind its last producer')
  return {
    segmentId: u32[PRODUCERS_SEGMENT_ID_AT >>> 2],
    baseOffset: readU64(region, PRODUCERS_BASE_OFFSET_AT),
    offsetEnd: readU64(region, PRODUCERS_OFFSET_END_AT),
    producers,
  }
}

function corrupt(file: string, what: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} ${what}; remove it, and the next open builds it anew from the segments' batches`,
    { file, position: 0 },
  )
}
