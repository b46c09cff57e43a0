import { WalrusError } from '../errors.js'
import { OFFSET_MAX } from '../limits.js'
import { checksumSmall } from './checksum.js'
import { requireKnownState } from './known-state.js'
import { FORMAT_VERSION } from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

export const COMPACTION_STATE_FILE = 'compaction.state'

/** What a partition's `compaction.state` file says: how far compaction has come. Without it, it begins anew. */
export interface CompactionState {
  /** Where a segment ends: no record below has a newer one of its key below. */
  cleanedTo: number
  /** Digest of that segment's index: of another segment that ends there, the state says nothing. */
  digest: number
  /** When the first of the tombstones may go that are kept; infinite where none is. */
  tombstonesDueMs: number
}

export const COMPACTION_STATE_MAGIC = 0x5343_4c57 // "WLCS"
export const COMPACTION_STATE_BYTES = 64
const MAGIC_AT = 0
const VERSION_AT = 4
const CLEANED_TO_AT = 8
const TOMBSTONES_DUE_MS_AT = 16
const DIGEST_AT = 24
const RESERVED_AT = 28
const CHECK_AT = 60

export function encodeCompactionState(state: CompactionState): Uint8Array {
  const region = Region.allocate(COMPACTION_STATE_BYTES)
  region.u32[MAGIC_AT >>> 2] = COMPACTION_STATE_MAGIC
  region.u32[VERSION_AT >>> 2] = FORMAT_VERSION
  writeU64(region, CLEANED_TO_AT, state.cleanedTo)
  region.f64[TOMBSTONES_DUE_MS_AT >>> 3] = state.tombstonesDueMs
  region.u32[DIGEST_AT >>> 2] = state.digest
  region.u32[CHECK_AT >>> 2] = checksumSmall(region, 0, CHECK_AT)
  return region.u8
}

/** Decodes a whole state file. Throws `FORMAT_VERSION` or `SEGMENT_CORRUPT`, naming `file`. */
export function decodeCompactionState(bytes: Uint8Array, file: string): CompactionState {
  const region = Region.allocate(COMPACTION_STATE_BYTES)
  if (bytes.length === COMPACTION_STATE_BYTES) region.u8.set(bytes)
  const { u32, f64 } = region
  const isSound = u32[MAGIC_AT >>> 2] === COMPACTION_STATE_MAGIC
  if (!isSound || u32[CHECK_AT >>> 2] !== checksumSmall(region, 0, CHECK_AT)) throw corrupt(file)
  requireKnownState(region, u32[VERSION_AT >>> 2], RESERVED_AT, CHECK_AT, file)
  const cleanedTo = readU64(region, CLEANED_TO_AT)
  if (cleanedTo > OFFSET_MAX) throw corrupt(file)
  return { cleanedTo, digest: u32[DIGEST_AT >>> 2], tombstonesDueMs: f64[TOMBSTONES_DUE_MS_AT >>> 3] }
}

function corrupt(file: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is not a whole state file; remove it: compaction then looks at all segments anew`,
    { file, position: 0 },
  )
}
