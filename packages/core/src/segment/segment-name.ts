import { OFFSET_MAX } from '../limits.js'

export const SEGMENT_SUFFIX = '.log'
export const INDEX_SUFFIX = '.index'
/** What of the segment is given up; there is none for a segment that is whole. */
export const GAPS_SUFFIX = '.gaps'
export const PRODUCERS_SUFFIX = '.producers'
/** The index of a segment that is about to be replaced: see `replaceSegment`. */
export const INDEX_TO_COME_SUFFIX = '.next-index'
/** An index being written; one that is found at open was left by a crash and is removed. */
export const TEMPORARY_SUFFIX = '.tmp'

const DIGITS = 20

/** File name without suffix: the base offset in 20 digits, so that names sort as offsets do. */
export function segmentStem(baseOffset: number): string {
  return String(baseOffset).padStart(DIGITS, '0')
}

export const segmentFileName = (baseOffset: number): string => segmentStem(baseOffset) + SEGMENT_SUFFIX
export const indexFileName = (baseOffset: number): string => segmentStem(baseOffset) + INDEX_SUFFIX
export const indexToComeFileName = (baseOffset: number): string => segmentStem(baseOffset) + INDEX_TO_COME_SUFFIX
export const gapsFileName = (baseOffset: number): string => segmentStem(baseOffset) + GAPS_SUFFIX

export const producersFileName = (baseOffset: number): string => segmentStem(baseOffset) + PRODUCERS_SUFFIX

/** The base offset that a file name states, or undefined where it is not a name of that kind. */
export function parseBaseOffset(name: string, suffix: string): number | undefined {
  if (name.length !== DIGITS + suffix.length || !name.endsWith(suffix)) return undefined
  const digits = name.slice(0, DIGITS)
  if (!/^\d+$/.test(digits)) return undefined
  const offset = Number(digits)
  return offset <= OFFSET_MAX ? offset : undefined
}

/** Base offsets of the segments among `names`, ascending. */
export function segmentBases(names: readonly string[]): number[] {
  return basesWithSuffix(names, SEGMENT_SUFFIX)
}

/** Base offsets of the files of one kind among `names`, ascending. */
export function basesWithSuffix(names: readonly string[], suffix: string): number[] {
  const bases: number[] = []
  for (const name of names) {
    const base = parseBaseOffset(name, suffix)
    if (base !== undefined) bases.push(base)
  }
  return bases.sort((left, right) => left - right)
}
