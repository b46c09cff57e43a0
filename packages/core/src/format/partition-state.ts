import { WalrusError } from '../errors.js'
import { OFFSET_MAX } from '../limits.js'
import { checksumSmall } from './checksum.js'
import { FORMAT_VERSION } from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

/** What a partition's `partition.state` file says; where there is none, 0. */
export interface PartitionState {
  /** Records before it are gone, whether or not there is a file that still holds them. */
  offsetFirst: number
}

export const STATE_MAGIC = 0x5350_4c57 // "WLPS"
export const STATE_BYTES = 64
const MAGIC_AT = 0
const VERSION_AT = 4
const OFFSET_FIRST_AT = 8
const RESERVED_AT = 16
const CHECK_AT = 60

export function encodePartitionState(state: PartitionState): Uint8Array {
  const region = Region.allocate(STATE_BYTES)
  region.u32[MAGIC_AT >>> 2] = STATE_MAGIC
  region.u32[VERSION_AT >>> 2] = FORMAT_VERSION
  writeU64(region, OFFSET_FIRST_AT, state.offsetFirst)
  region.u32[CHECK_AT >>> 2] = checksumSmall(region, 0, CHECK_AT)
  return region.u8
}

/** Decodes a whole state file. Throws `FORMAT_VERSION` or `SEGMENT_CORRUPT`, naming `file`. */
export function decodePartitionState(bytes: Uint8Array, file: string): PartitionState {
  const region = Region.allocate(STATE_BYTES)
  if (bytes.length === STATE_BYTES) region.u8.set(bytes)
  const { u32 } = region
  if (u32[MAGIC_AT >>> 2] !== STATE_MAGIC || u32[CHECK_AT >>> 2] !== checksumSmall(region, 0, CHECK_AT)) {
    throw corrupt(file)
  }
  const version = u32[VERSION_AT >>> 2]
  let reserved = 0
  for (let byte = RESERVED_AT; byte < CHECK_AT; byte++) reserved |= region.u8[byte]
  if (version !== FORMAT_VERSION || reserved !== 0) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has state format ${version}${reserved === 0 ? '' : ' with unknown fields'}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file },
    )
  }
  const offsetFirst = readU64(region, OFFSET_FIRST_AT)
  if (offsetFirst > OFFSET_MAX) throw corrupt(file)
  return { offsetFirst }
}

function corrupt(file: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is not a whole state file; restore it from a copy, or remove it: records that were trimmed and still lie in a segment are then there again`,
    { file, position: 0 },
  )
}
