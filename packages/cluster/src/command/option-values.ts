import type { ConsumerOptions, Durability } from '@walrus-log/actors'
import { InvalidArgumentError } from 'commander'
import { EVERY_MS_MAX } from '../ingest/limits.js'

// Values of options as people write them. What is wrong with one is said by commander, together with the option's name.

export function parseCount(text: string): number {
  return parseWithin(text, 0, Number.MAX_SAFE_INTEGER, 'A whole number is wanted.')
}

/** What reads a whole number of these limits, both of which are within. */
export function countFrom(min: number, max: number): (text: string) => number {
  return (text) => parseWithin(text, min, max, `A whole number from ${min} to ${max} is wanted.`)
}

function parseWithin(text: string, min: number, max: number, wanted: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < min || count > max) throw new InvalidArgumentError(wanted)
  return count
}

export function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || seconds <= 0) throw new InvalidArgumentError('A number of seconds above 0.')
  return seconds
}

export function parseDurability(text: string): Durability {
  if (text === 'disk' || text === 'os' || text === 'none') return text
  const wanted = `One of disk, os, none, or 1 to ${EVERY_MS_MAX} milliseconds between two syncs.`
  return { everyMs: parseWithin(text, 1, EVERY_MS_MAX, wanted) }
}

export function parseCheckpoint(text: string): ConsumerOptions['checkpoint'] {
  if (text === 'each') return 'each'
  if (/^\d+$/.test(text) && Number(text) > 0) return { every: parseCount(text) }
  throw new InvalidArgumentError('One of each, or a number of records.')
}

export type ReadFrom = 'start' | 'end' | number | Date

export function parseFrom(text: string): ReadFrom {
  if (text === 'start' || text === 'end') return text
  if (/^\d+$/.test(text)) return parseCount(text)
  const date = new Date(text)
  if (!/^\d{4}-/.test(text) || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError('One of start, end, an offset, or a date such as 2026-01-31T12:00:00Z.')
  }
  return date
}

export type TrimBefore = 'end' | number | Date

export function parseBefore(text: string): TrimBefore {
  const before = parseFrom(text)
  if (before === 'start') throw new InvalidArgumentError('One of end, an offset, or a date.')
  return before
}

/** `\t` is what a tab looks like where a shell has not made one of it. */
export function parseDelimiter(text: string): string {
  return text === '\\t' ? '\t' : text
}
