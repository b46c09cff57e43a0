import type { Durability } from '@walrus-log/core'

/** Durabilities by strength; the number travels in a batch's attributes. */
export const LEVEL_NONE = 1
export const LEVEL_OS = 2
export const LEVEL_DISK = 3

/** `everyMs` acknowledges as `os` does; the schedule is the sync thread's. */
export function durabilityLevel(durability: Durability): number {
  if (durability === 'none') return LEVEL_NONE
  if (durability === 'disk') return LEVEL_DISK
  return LEVEL_OS
}
