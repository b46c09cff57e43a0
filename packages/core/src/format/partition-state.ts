import { WalrusError } from '../errors.js'
import { OFFSET_MAX } from '../limits.js'
import { checksumSmall } from './checksum.js'
import { requireKnownState } from './known-state.js'
import { FORMAT_VERSION } from './layout.js'
import { Region, readU64, writeU64 } from './region.js'

// A partition's `partition.state`: two slots, each of which says all. An update writes one of them and syncs it, then the
// other; so there is at each moment a whole slot, and no update needs room on the disk. Which one is written first goes by
// its number's parity: of two that say the same, that one is known to be synced.

/** What a partition's `partition.state` file says; where there is none, 0. */
export interface PartitionState {
  /** Records before it are gone, whether or not there is a file that still holds them. */
  offsetFirst: number
}

/** A state as it was found in a file. */
export interface PlacedState extends PartitionState {
  /** Counts the updates; the larger one is the newer. Below 1 in a file of one slot, as it was written before there were two. */
  sequence: number
  slot: number
}

export const STATE_MAGIC = 0x5350_4c57 // "WLPS"
export const STATE_SLOT_BYTES = 64
/** The slots lie in different sectors, whatever these are called on the disk. */
const SLOT_DISTANCE_BYTES = 4096
export const STATE_BYTES = 2 * SLOT_DISTANCE_BYTES
const MAGIC_AT = 0
const VERSION_AT = 4
const OFFSET_FIRST_AT = 8
const SEQUENCE_AT = 16
const RESERVED_AT = 24
const CHECK_AT = 60
const SEQUENCE_FIRST = 2

/** A slot's bytes. */
function encodeSlot(offsetFirst: number, sequence: number): Uint8Array {
  const region = Region.allocate(STATE_SLOT_BYTES)
  region.u32[MAGIC_AT >>> 2] = STATE_MAGIC
  region.u32[VERSION_AT >>> 2] = FORMAT_VERSION
  writeU64(region, OFFSET_FIRST_AT, offsetFirst)
  writeU64(region, SEQUENCE_AT, sequence)
  region.u32[CHECK_AT >>> 2] = checksumSmall(region, 0, CHECK_AT)
  return region.u8
}

/** A new file, with the same in both slots. */
export function encodePartitionState({ offsetFirst }: PartitionState): Uint8Array {
  const bytes = new Uint8Array(STATE_BYTES)
  const slot = encodeSlot(offsetFirst, SEQUENCE_FIRST)
  bytes.set(slot, 0)
  bytes.set(slot, SLOT_DISTANCE_BYTES)
  return bytes
}

/** Bytes that go into a file in place, the first of them synced before the second. */
export interface StateUpdate {
  slot: Uint8Array
  firstAt: number
  secondAt: number
  /** What is to stand at `firstAt` again where the update failed: the state of before. */
  slotBefore: Uint8Array
}

/** How a file that says `placed` is made to say `state`. The slot that `placed` was read from is overwritten last. */
export function updateState(placed: PlacedState, { offsetFirst }: PartitionState): StateUpdate {
  const first = 1 - placed.slot
  const sequence = placed.sequence + (isFirst(placed.sequence + 1, first) ? 1 : 2)
  return {
    slot: encodeSlot(offsetFirst, sequence),
    firstAt: first * SLOT_DISTANCE_BYTES,
    secondAt: placed.slot * SLOT_DISTANCE_BYTES,
    slotBefore: encodeSlot(placed.offsetFirst, placed.sequence),
  }
}

/** Whether the update of that number wrote that slot first. */
function isFirst(sequence: number, slot: number): boolean {
  return sequence % 2 === slot
}

/** Decodes a whole state file; the newer sound slot counts. Throws `FORMAT_VERSION` or `SEGMENT_CORRUPT`, naming `file`. */
export function decodePartitionState(bytes: Uint8Array, file: string): PlacedState {
  let newest: PlacedState | undefined
  for (let slot = 0; slot < 2; slot++) {
    const at = slot * SLOT_DISTANCE_BYTES
    const found = decodeSlot(bytes.subarray(at, at + STATE_SLOT_BYTES), slot, file)
    if (found === undefined) continue
    // A file that is not as long as one of two slots has had one from the beginning, which has no number.
    if ((bytes.length === STATE_BYTES) !== found.sequence > 0) throw corrupt(file)
    if (newest === undefined || found.sequence > newest.sequence) newest = found
    else if (found.sequence === newest.sequence && isFirst(found.sequence, slot)) newest = found
  }
  if (newest === undefined || (bytes.length !== STATE_BYTES && bytes.length !== STATE_SLOT_BYTES)) throw corrupt(file)
  return newest
}

/** Whether nothing of a file that can be decoded is damaged, which the next update would not mend either. */
export function isWholeState(bytes: Uint8Array, file: string): boolean {
  if (bytes.length !== STATE_BYTES) return true
  for (let slot = 0; slot < 2; slot++) {
    const at = slot * SLOT_DISTANCE_BYTES
    if (decodeSlot(bytes.subarray(at, at + STATE_SLOT_BYTES), slot, file) === undefined) return false
    if (bytes.subarray(at + STATE_SLOT_BYTES, at + SLOT_DISTANCE_BYTES).some((byte) => byte !== 0)) return false
  }
  return true
}

/** Undefined where the slot is not whole. */
function decodeSlot(bytes: Uint8Array, slot: number, file: string): PlacedState | undefined {
  if (bytes.length < STATE_SLOT_BYTES) return undefined
  const region = Region.allocate(STATE_SLOT_BYTES)
  region.u8.set(bytes)
  const { u32 } = region
  if (u32[MAGIC_AT >>> 2] !== STATE_MAGIC || u32[CHECK_AT >>> 2] !== checksumSmall(region, 0, CHECK_AT))
    return undefined
  requireKnownState(region, u32[VERSION_AT >>> 2], RESERVED_AT, CHECK_AT, file)
  const offsetFirst = readU64(region, OFFSET_FIRST_AT)
  const sequence = readU64(region, SEQUENCE_AT)
  return offsetFirst > OFFSET_MAX || sequence > OFFSET_MAX ? undefined : { offsetFirst, sequence, slot }
}

function corrupt(file: string): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file} is not a whole state file; restore it from a copy, or remove it: records that were trimmed and still lie in a segment are then there again`,
    { file, position: 0 },
  )
}
