import fs from 'node:fs'
import path from 'node:path'
import { LOCK_FILE } from './directory-lock.js'

/**
 * Whether somebody holds the directory's lock, without taking it for a moment: by the kernel's own list, which Linux has.
 * False where that cannot be told.
 */
export function isLockHeld(directory: string): boolean {
  try {
    const { dev, ino } = fs.statSync(path.join(directory, LOCK_FILE), { bigint: true })
    const major = Number((dev >> 8n) & 0xfffn) | Number((dev >> 32n) & ~0xfffn)
    const minor = Number(dev & 0xffn) | Number((dev >> 12n) & 0xffff_ff00n)
    const place = `${hex(major)}:${hex(minor)}:${ino}`
    const locks = fs.readFileSync('/proc/locks', 'latin1')
    return locks.split('\n').some((line) => line.split(/\s+/).includes(place))
  } catch {
    return false
  }
}

/** Process id of whoever holds it, as the file says; undefined where nobody does, or that cannot be told. */
export function lockHolder(directory: string): number | undefined {
  if (!isLockHeld(directory)) return undefined
  try {
    const pid = Number.parseInt(fs.readFileSync(path.join(directory, LOCK_FILE), 'latin1'), 10)
    return Number.isNaN(pid) ? undefined : pid
  } catch {
    return undefined
  }
}

const hex = (number: number): string => number.toString(16).padStart(2, '0')
