import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_AT,
  BATCH_MAGIC_AT,
  BATCH_RECORD_COUNT_AT,
  type Region,
} from '@walrus-log/core'
import type { LaneFraming } from './layout.js'

/** A record lane's entries are batches in their on-disk form, or references to batches that are too large for it. */
export const RECORD_FRAMING: LaneFraming = { frameAt: BATCH_LENGTH_AT, entryBytesMin: BATCH_HEADER_BYTES }

/** Kind of an entry that stands for a batch elsewhere in the arena, in a run of chunks of its own. */
export const KIND_REFERENCE = 0x5245_4621

/** Position of a batch that lies in memory of its own, see `message/large-batches.ts`. */
export const OWN_MEMORY = 0xffff_ffff

const REFERENCE_AT = BATCH_RECORD_COUNT_AT

/** Writes a reference entry at `at` (96 bytes) to the closed batch of `length` bytes at `batchAt`. */
export function writeReference(region: Region, at: number, batchAt: number, length: number): void {
  region.u32[(at + BATCH_LENGTH_AT) >>> 2] = BATCH_HEADER_BYTES
  region.u32[(at + BATCH_MAGIC_AT) >>> 2] = KIND_REFERENCE
  region.u32[(at + REFERENCE_AT) >>> 2] = batchAt
  region.u32[(at + REFERENCE_AT + 4) >>> 2] = length
}

export const referencedAt = (region: Region, at: number): number => region.u32[(at + REFERENCE_AT) >>> 2]
export const referencedBytes = (region: Region, at: number): number => region.u32[(at + REFERENCE_AT + 4) >>> 2]
