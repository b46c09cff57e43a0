import type { GapReason, ReadGap } from '@walrus-log/core'

/**
 * What a reader is handed in place of records that are not there: `'data-loss'` for what was damaged or lost, `'trimmed'`
 * for what was removed on purpose. It is a batch without records to whoever only iterates; `batch.gap` tells it apart.
 */
export class Gap implements Iterable<never> {
  readonly gap: GapReason
  readonly partition: number
  /** Offset of the first missing record. */
  readonly from: number
  /** Offset of the first record behind the gap. */
  readonly to: number

  constructor({ reason, from, to }: ReadGap, partition: number) {
    this.gap = reason
    this.partition = partition
    this.from = from
    this.to = to
  }

  /** As a batch has them. */
  get baseOffset(): number {
    return this.from
  }

  get count(): number {
    return 0
  }

  [Symbol.iterator](): Iterator<never, undefined> {
    return { next: () => ({ done: true, value: undefined }) }
  }
}
