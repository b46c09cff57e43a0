import path from 'node:path'
import { WalrusError } from '../errors.js'
import type { FileSystem } from '../storage/file-system.js'
import { removeOldest } from './forget.js'
import { countDispensable, spansOf } from './producer-file.js'
import type { RecoveredPartition } from './recovered-segment.js'
import { countForgotten, countRemovable } from './retention.js'
import { loadState, STATE_FILE, writeState } from './state-file.js'

// What recovery has to know of forgetting: segments below the first offset are not there, whatever the directory holds.

interface Place {
  fs: FileSystem
  directory: string
  mode: 'strict' | 'tail' | 'skip'
  tidy?: boolean
  suspects?: ReadonlySet<number>
}

/** Takes forgotten segments out of `bases` and `sealed`; what of them may go is decided when producers are recovered. */
export function forgetBefore(
  place: Place,
  bases: number[],
  sealed: Set<number>,
): { offsetFirst: number; forgotten: number[] } {
  const { offsetFirst } = soundState(place)
  const removable = countRemovable(bases, (base) => sealed.has(base), Number.POSITIVE_INFINITY)
  // What is to be mended is read, however little anybody will see of it.
  const suspect = bases.findIndex((base) => place.suspects?.has(base))
  const count = countForgotten(bases, suspect === -1 ? removable : Math.min(removable, suspect), offsetFirst)
  const forgotten = bases.splice(0, count)
  // An index below the first segment is on its way out, maybe in another thread's hands at this moment.
  for (const base of sealed)
    if (forgotten.includes(base) || (!place.tidy && base < (bases[0] ?? 0))) sealed.delete(base)
  return { offsetFirst, forgotten }
}

/**
 * Where a loss of power took records that were not synced, the log may end before its first offset: that one moves back,
 * durably, or what is appended now would be forgotten by the next open.
 */
export function settleFirst(place: Place, result: { offsetFirst: number; offsetNext: number }): void {
  if (result.offsetFirst <= result.offsetNext) return
  result.offsetFirst = result.offsetNext
  if (!place.tidy) return
  writeState(place.fs, place.directory, { offsetFirst: result.offsetFirst })
}

/** Takes away what was forgotten before the log was opened, as far as it is not the last to know of named producers. */
export function finishForgetting(
  fs: FileSystem,
  directory: string,
  { bases, forgotten, open, offsetNext }: RecoveredPartition,
  producersSince: number | undefined,
): void {
  if (forgotten.length === 0) return
  const sealed = open === undefined ? bases : bases.slice(0, -1)
  const spans = spansOf([...forgotten, ...sealed], open?.header.baseOffset ?? offsetNext)
  const count = countDispensable(fs, directory, spans, forgotten.length, producersSince)
  removeOldest(fs, directory, forgotten.slice(0, count))
}

function soundState({ fs, directory, mode, tidy }: Place) {
  try {
    return loadState(fs, directory)
  } catch (error) {
    if (mode === 'strict' || !(error instanceof WalrusError && error.code === 'SEGMENT_CORRUPT')) throw error
    if (tidy) fs.remove(path.join(directory, STATE_FILE))
    return { offsetFirst: 0 }
  }
}
