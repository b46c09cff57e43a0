import { createHash } from 'node:crypto'
import { OFFSET_MAX } from '../limits.js'
import { checksumSmall } from './checksum.js'
import { FORMAT_VERSION } from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

/**
 * The file of a namespace that tells other processes how far its partitions are acknowledged: a header, then an entry for
 * each partition, which is overwritten in place. A reader that meets one in mid-write finds its checksum wrong and looks
 * again. Nothing depends on it but such readers.
 */
export const WATERMARKS_FILE = 'watermarks'
/** Of the header, and of each entry behind it: none crosses a page. */
export const WATERMARK_BYTES = 64
export const WATERMARK_KEY_BYTES = 16

/** Who opened the log for writing last. */
export interface WatermarksHeader {
  /** Random, never 0: entries repeat it, so that those of openings before are told apart. */
  opening: number
  pid: number
  openedMs: number
}

/** How far a partition is acknowledged. */
export interface Watermark {
  /** One past the last acknowledged record: the high watermark. */
  offset: number
  /** Base offset of the segment in which the next record lies, and the byte there. */
  baseOffset: number
  position: number
  /** First offset that exists. */
  offsetFirst: number
  /** Lease epoch of the partition's writer: it vouches for no batch of a later one. */
  leaseEpoch: number
  /** The opening whose writer said so. */
  opening: number
}

const WATERMARKS_MAGIC = 0x4d57_4c57 // "WLWM"
const MAGIC_AT = 0
const VERSION_AT = 4
const HEADER_OPENING_AT = 8
const PID_AT = 12
const OPENED_MS_AT = 16
const HEADER_RESERVED_AT = 24

const KEY_AT = 0
const OFFSET_AT = 16
const BASE_OFFSET_AT = 24
const POSITION_AT = 32
const OFFSET_FIRST_AT = 40
const LEASE_EPOCH_AT = 48
const OPENING_AT = 52
const CHECK_AT = 60

export function encodeWatermarksHeader({ opening, pid, openedMs }: WatermarksHeader): Uint8Array {
  const region = Region.allocate(WATERMARK_BYTES)
  region.u32[MAGIC_AT >>> 2] = WATERMARKS_MAGIC
  region.u32[VERSION_AT >>> 2] = FORMAT_VERSION
  region.u32[HEADER_OPENING_AT >>> 2] = opening
  region.u32[PID_AT >>> 2] = pid
  region.f64[OPENED_MS_AT >>> 3] = openedMs
  region.u32[CHECK_AT >>> 2] = checksumSmall(region, 0, CHECK_AT)
  return region.u8
}

/** Undefined where there is no sound header of this version at the file's beginning. */
export function decodeWatermarksHeader(region: Region): WatermarksHeader | undefined {
  const { u32 } = region
  if (region.byteLength < WATERMARK_BYTES || u32[CHECK_AT >>> 2] !== checksumSmall(region, 0, CHECK_AT))
    return undefined
  if (u32[MAGIC_AT >>> 2] !== WATERMARKS_MAGIC || u32[VERSION_AT >>> 2] !== FORMAT_VERSION) return undefined
  for (let at = HEADER_RESERVED_AT; at < CHECK_AT; at++) if (region.u8[at] !== 0) return undefined
  return {
    opening: u32[HEADER_OPENING_AT >>> 2],
    pid: u32[PID_AT >>> 2],
    openedMs: region.f64[OPENED_MS_AT >>> 3],
  }
}

/** Names a partition of one life of a topic: a topic that is made again under the same name has other keys. */
export function watermarkKey(topic: string, createdMs: number, partition: number): string {
  const digest = createHash('sha256').update(`${topic}/${createdMs}/${partition}`).digest()
  return digest.toString('hex', 0, WATERMARK_KEY_BYTES)
}

/** Writes the key into an entry at byte 0 of `region`; the rest is `encodeWatermark`'s, again and again. */
export function encodeWatermarkKey(region: Region, key: string): void {
  region.bytes.write(key, KEY_AT, WATERMARK_KEY_BYTES, 'hex')
}

export function encodeWatermark(region: Region, watermark: Watermark): void {
  writeU64(region, OFFSET_AT, watermark.offset)
  writeU64(region, BASE_OFFSET_AT, watermark.baseOffset)
  writeU64(region, POSITION_AT, watermark.position)
  writeU64(region, OFFSET_FIRST_AT, watermark.offsetFirst)
  region.u32[LEASE_EPOCH_AT >>> 2] = watermark.leaseEpoch
  region.u32[OPENING_AT >>> 2] = watermark.opening
  region.u32[CHECK_AT >>> 2] = checksumSmall(region, 0, CHECK_AT)
}

/** The entry at `at`; undefined where there is none, or none that is whole. */
export function decodeWatermark(region: Region, at: number): Watermark | undefined {
  if (at + WATERMARK_BYTES > region.byteLength) return undefined
  const { u32 } = region
  if (u32[(at + CHECK_AT) >>> 2] !== checksumSmall(region, at, at + CHECK_AT)) return undefined
  const watermark: Watermark = {
    offset: readU64(region, at + OFFSET_AT),
    baseOffset: readU64(region, at + BASE_OFFSET_AT),
    position: readU64(region, at + POSITION_AT),
    offsetFirst: readU64(region, at + OFFSET_FIRST_AT),
    leaseEpoch: u32[(at + LEASE_EPOCH_AT) >>> 2],
    opening: u32[(at + OPENING_AT) >>> 2],
  }
  return watermark.opening !== 0 && watermark.offset <= OFFSET_MAX ? watermark : undefined
}

/** The key of the entry at `at`, whole or not; all zeros where the place was never taken. */
export function watermarkKeyAt(region: Region, at: number): string {
  return region.bytes.toString('hex', at + KEY_AT, at + KEY_AT + WATERMARK_KEY_BYTES)
}

/** Bytes at which the keys in `region` stand. Later places win, as none is taken twice. */
export function watermarkPlaces(region: Region): Map<string, number> {
  const places = new Map<string, number>()
  for (let at = WATERMARK_BYTES; at + WATERMARK_BYTES <= region.byteLength; at += WATERMARK_BYTES) {
    const key = watermarkKeyAt(region, at)
    if (key !== NO_KEY) places.set(key, at)
  }
  return places
}

const NO_KEY = '0'.repeat(2 * WATERMARK_KEY_BYTES)
