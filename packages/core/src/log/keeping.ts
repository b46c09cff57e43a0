import type { Retention } from './retention.js'

/** What becomes of a topic's old records. */
export type Cleanup = 'delete' | 'compact'

/** Settings of keeping and forgetting; what is left out is not limited. */
export interface KeepingConfig {
  retention?: Retention
  /** A segment that has records is ended at this age, so that it can be forgotten or compacted. `null`: by size only. */
  segmentMs?: number | null
  cleanup?: Cleanup
  /** With `'compact'`: how long a tombstone stays after its segment was sealed. */
  deleteGraceMs?: number
}

/** A reader that began at the start of a compacted topic has this long to meet the deletions on its way. */
export const DELETE_GRACE_MS_DEFAULT = 24 * 3_600_000

/** Timers of Node end here; longer is "by size only". */
export const SEGMENT_MS_MAX = 2 ** 31 - 1

/** When a segment is ended by age: without a word for it, as soon as what is in it may be forgotten. */
export function effectiveSegmentMs({ segmentMs, retention, cleanup }: KeepingConfig): number | undefined {
  if (segmentMs !== undefined) return segmentMs ?? undefined
  const ms = cleanup === 'compact' ? undefined : retention?.ms
  return ms === undefined ? undefined : Math.min(Math.max(ms, 1), SEGMENT_MS_MAX)
}

export function effectiveDeleteGraceMs({ deleteGraceMs, retention }: KeepingConfig): number {
  return deleteGraceMs ?? retention?.ms ?? DELETE_GRACE_MS_DEFAULT
}

/** Whether anything is ever forgotten or compacted by itself. */
export function isKept({ retention, segmentMs, cleanup }: KeepingConfig): boolean {
  const hasLimit = retention !== undefined && Object.values(retention).some((limit) => limit !== undefined)
  return !hasLimit && typeof segmentMs !== 'number' && cleanup !== 'compact'
}

/** Name of the first setting of these that no topic can have. */
export function wrongKeepingField(config: KeepingConfig): keyof KeepingConfig | undefined {
  const { retention, segmentMs, cleanup, deleteGraceMs } = config
  if (cleanup !== undefined && cleanup !== 'delete' && cleanup !== 'compact') return 'cleanup'
  if (retention !== undefined && !isRetention(retention, cleanup)) return 'retention'
  if (segmentMs !== undefined && segmentMs !== null && !isLimit(segmentMs, 1, SEGMENT_MS_MAX)) return 'segmentMs'
  if (deleteGraceMs !== undefined && !isLimit(deleteGraceMs, 0)) return 'deleteGraceMs'
  return undefined
}

/** A compacted topic keeps the last record of each key, however old: only the grace of its tombstones is a time. */
function isRetention(retention: unknown, cleanup: Cleanup | undefined): boolean {
  if (typeof retention !== 'object' || retention === null || Array.isArray(retention)) return false
  return Object.entries(retention).every(
    ([name, limit]) =>
      ['ms', 'bytes', 'records'].includes(name) &&
      (limit === undefined || (isLimit(limit, 0) && (cleanup !== 'compact' || name === 'ms'))),
  )
}

function isLimit(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
}
