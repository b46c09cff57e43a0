import path from 'node:path'
import { isDiskFull, WalrusError } from '../errors.js'
import {
  decodePartitionState,
  encodePartitionState,
  isWholeState,
  type PartitionState,
  type PlacedState,
  STATE_BYTES,
  type StateUpdate,
  updateState,
} from '../format/partition-state.js'
import { rewrite } from '../segment/rewrite.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'

export const STATE_FILE = 'partition.state'

// The file is there from the first opening of a partition on, with its full length: to say what is forgotten, which is
// how a full disk gets room again, takes none.

/** Reads a partition's state; what it says where there is no file. Throws `SEGMENT_CORRUPT`, `FORMAT_VERSION`. */
export function loadState(fs: FileSystem, directory: string): PartitionState {
  const { offsetFirst } = placedState(fs, directory) ?? { offsetFirst: 0 }
  return { offsetFirst }
}

/** The same; throws `SEGMENT_CORRUPT` also where the file says enough and a part of it is damaged. */
export function checkState(fs: FileSystem, directory: string): void {
  const placed = placedState(fs, directory)
  if (placed === undefined || placed.isWhole) return
  const file = path.join(directory, STATE_FILE)
  throw new WalrusError('SEGMENT_CORRUPT', `${file} is damaged in a part of it; the next open mends it`, { file })
}

function placedState(fs: FileSystem, directory: string): (PlacedState & { isWhole: boolean }) | undefined {
  const name = path.join(directory, STATE_FILE)
  if (!fs.exists(name)) return undefined
  const bytes = readWholeFile(fs, name, STATE_BYTES)
  return { ...decodePartitionState(bytes, name), isWhole: isWholeState(bytes, name) }
}

/** Makes the file where there is no whole one. A disk that has no room for it now may have some at the next open. */
export function ensureState(fs: FileSystem, directory: string): void {
  const placed = placedState(fs, directory)
  if (placed !== undefined && placed.sequence > 0 && placed.isWhole) {
    if (placed.offsetFirst > 0) makeDurable(fs, directory)
    return
  }
  try {
    publishState(fs, directory, placed ?? { offsetFirst: 0 })
  } catch (error) {
    if (!isDiskFull(error)) throw error
  }
}

/**
 * What this process finds and tells may be what another one wrote and had not synced when it died; or its sync failed, and the
 * pages only look clean. Without this, the power could take a first offset back that somebody was told of.
 */
function makeDurable(fs: FileSystem, directory: string): void {
  const file = fs.open(path.join(directory, STATE_FILE), 'write')
  try {
    rewrite(file, 0, STATE_BYTES)
    file.sync()
  } finally {
    file.close()
  }
}

/** Puts a new file in the place of the one before; needs room on the disk. */
export function publishState(fs: FileSystem, directory: string, state: PartitionState): void {
  publishFile(fs, directory, STATE_FILE, encodePartitionState(state))
}

/**
 * Puts another state in the place of the one before, and makes it durable. When it throws, the one before holds, after a
 * crash or not; where the process dies in its middle, either does.
 */
export function writeState(fs: FileSystem, directory: string, state: PartitionState): void {
  const placed = placedState(fs, directory)
  if (placed === undefined || placed.sequence === 0) {
    publishState(fs, directory, state)
    return
  }
  const file = fs.open(path.join(directory, STATE_FILE), 'write')
  try {
    writeInPlace(file, updateState(placed, state))
  } finally {
    file.close()
  }
}

function writeInPlace(file: OpenFile, { slot, firstAt, secondAt, slotBefore }: StateUpdate): void {
  try {
    file.write(slot, 0, slot.length, firstAt)
    file.sync()
  } catch (error) {
    // It may be read again from the system's memory, but is not known to be on the disk: nobody may go by it.
    tryWrite(file, slotBefore, firstAt)
    throw error
  }
  // The state is durable. The second copy is against damage of the first, and is synced some time or never.
  tryWrite(file, slot, secondAt)
}

function tryWrite(file: OpenFile, bytes: Uint8Array, position: number): void {
  try {
    file.write(bytes, 0, bytes.length, position)
  } catch {
    // What is half written is not whole, and the other slot counts.
  }
}
