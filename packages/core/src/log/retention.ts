/**
 * What may be forgotten of a partition, as decisions over numbers: pure, without a file or a clock. Only whole sealed
 * segments go, the oldest first, and the last sealed one never does: offsets and lease epoch would begin anew if the
 * segment behind it were lost.
 */

/** How much is kept at least. A record goes when any of the limits says that it may; no limit, and it never does. */
export interface Retention {
  /** Records younger than this are kept; a segment's age is that of its latest record, at most that of its sealing. */
  ms?: number
  /** The newest so many bytes of segment files are kept. */
  bytes?: number
  /** The newest so many records are kept. */
  records?: number
}

export interface RetentionState {
  /** Base offsets of all segments, ascending. */
  bases: readonly number[]
  /** How many of the first may go: see `countRemovable`. */
  removable: number
  offsetNext: number
  /** Length of all segments' data. Asked for only where there is a limit by bytes. */
  bytesTotal: () => number
  bytesOf: (place: number) => number
  /** Time of a segment's latest record; undefined where that cannot be told. Asked for only where there is a limit by age. */
  lastMsOf: (place: number) => number | undefined
}

export interface RetentionPlan {
  /** Offset before which everything may go: a segment's base. */
  offsetFirst: number
  /** When the next segment comes of age; undefined where that follows from the next seal only. */
  dueMs: number | undefined
}

export function planRetention(state: RetentionState, retention: Retention, nowMs: number): RetentionPlan {
  const { bases, removable, offsetNext } = state
  const { ms, bytes, records } = retention
  let bytesLeft = bytes === undefined ? 0 : state.bytesTotal()
  for (let place = 0; ; place++) {
    const offsetFirst = bases[place] ?? offsetNext
    if (place >= removable) return { offsetFirst, dueMs: undefined }
    const lastMs = ms === undefined ? undefined : state.lastMsOf(place)
    const bytesWithout = bytes === undefined ? 0 : bytesLeft - state.bytesOf(place)
    const isOld = ms !== undefined && lastMs !== undefined && lastMs + ms <= nowMs
    const isSurplus =
      (bytes !== undefined && bytesWithout >= bytes) ||
      (records !== undefined && offsetNext - bases[place + 1] >= records)
    if (!isOld && !isSurplus) {
      return { offsetFirst, dueMs: ms === undefined || lastMs === undefined ? undefined : lastMs + ms }
    }
    bytesLeft = bytesWithout
  }
}

/**
 * How many of the first segments may be removed or rewritten while the partition is in use: those of the unbroken run of
 * sealed ones, below the segment that the acknowledged point lies in, without the last of them. What follows is the
 * writer's, which reads it again after a failure.
 */
export function countRemovable(
  bases: readonly number[],
  isSealed: (base: number) => boolean,
  openBase: number,
): number {
  let sealed = 0
  while (sealed < bases.length && bases[sealed] < openBase && isSealed(bases[sealed])) sealed++
  return Math.max(sealed - 1, 0)
}

/** How many of the removable segments lie wholly below `offsetFirst`. */
export function countForgotten(bases: readonly number[], removable: number, offsetFirst: number): number {
  let count = 0
  while (count < removable && bases[count + 1] <= offsetFirst) count++
  return count
}
