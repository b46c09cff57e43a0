import type { Compression } from '../compression/codec.js'
import type { Retention } from './retention.js'

/** What becomes of a topic's old records: they go by retention, or also as soon as their key has a newer one. */
export type Cleanup = 'delete' | 'compact'

export const DELETE_GRACE_MS_DEFAULT = 24 * 3600 * 1000

/** Settings of keeping and forgetting; what is left out is not limited. */
export interface KeepingConfig {
  retention?: Retention
  /** A segment that has records is ended at this age, so that it can be forgotten. `null`: by size only. */
  segmentMs?: number | null
  cleanup?: Cleanup
  /** With `cleanup: 'compact'`: a tombstone is kept at least this long after its segment was sealed. */
  deleteGraceMs?: number
  /** How sealed segments are kept; those that are compressed in another way stay so. */
  compression?: 'none' | Compression
}

/** Timers of Node end here; longer is "by size only". */
export const SEGMENT_MS_MAX = 2 ** 31 - 1

/** When a segment is ended by age: without a word for it, as soon as what is in it may be forgotten. */
export function effectiveSegmentMs({ segmentMs, retention }: KeepingConfig): number | undefined {
  if (segmentMs !== undefined) return segmentMs ?? undefined
  const ms = retention?.ms
  return ms === undefined ? undefined : Math.min(Math.max(ms, 1), SEGMENT_MS_MAX)
}

/** Whether nothing is ever forgotten by itself, and no segment ended for its age. */
export function isKept({ retention, segmentMs }: KeepingConfig): boolean {
  const hasLimit = retention !== undefined && Object.values(retention).some((limit) => limit !== undefined)
  return !hasLimit && typeof segmentMs !== 'number'
}

/** Name of the first setting of these that no topic can have. */
export function wrongKeepingField({
  retention,
  segmentMs,
  cleanup,
  deleteGraceMs,
  compression,
}: KeepingConfig): keyof KeepingConfig | undefined {
  if (cleanup !== undefined && cleanup !== 'delete' && cleanup !== 'compact') return 'cleanup'
  if (deleteGraceMs !== undefined && !isLimit(deleteGraceMs, 0)) return 'deleteGraceMs'
  if (compression !== undefined && !['none', 'lz4', 'zstd'].includes(compression)) return 'compression'
  if (retention !== undefined && !isRetention(retention)) return 'retention'
  if (segmentMs !== undefined && segmentMs !== null && !isLimit(segmentMs, 1, SEGMENT_MS_MAX)) return 'segmentMs'
  return undefined
}

function isRetention(retention: unknown): boolean {
  // What else has no fields, such as a date, would be something else in the file.
  if (typeof retention !== 'object' || retention === null || Object.getPrototypeOf(retention) !== Object.prototype) {
    return false
  }
  return Object.entries(retention).every(
    ([name, limit]) => ['ms', 'bytes', 'records'].includes(name) && (limit === undefined || isLimit(limit, 0)),
  )
}

function isLimit(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
}
