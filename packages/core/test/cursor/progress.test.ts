import { describe, expect, it } from 'vitest'
import { type Checkpoint, type Commit, ConsumerProgress } from '#core/cursor/progress.js'
import { check, fc } from '../support/property.js'

type Action =
  | { type: 'ask'; partition: number; count: number }
  | { type: 'putBack' }
  | { type: 'commitEnds'; isGood: boolean }
  | { type: 'commit' }
  | { type: 'move'; partition: number }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('ask'), partition: fc.nat(2), count: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'putBack' }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('commitEnds'), isGood: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ type: 'commit' }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('move'), partition: fc.nat(2) }) },
) as fc.Arbitrary<Action>

/** A consumer with its cursors on a disk, and everything that it ever handed out. */
class Story {
  readonly #checkpoint: Checkpoint
  readonly #progress: ConsumerProgress
  readonly #durable = [0, 0, 0]
  readonly #next = [0, 0, 0]
  readonly #handled = [0, 0, 0]
  #generation = 1
  #commit: Commit | undefined
  /** Counts of records handed out in all, and how many of them had been handed out before. */
  handedOut = 0

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint
    this.#progress = new ConsumerProgress(checkpoint)
    for (const partition of [0, 1, 2]) this.#progress.assign(partition, this.#generation, 0)
  }

  run(next: Action): void {
    switch (next.type) {
      case 'ask':
        this.#ask(next.partition, next.count)
        break
      case 'putBack':
        for (const partition of this.#progress.putBack()) {
          expect(this.#progress.next(partition)).toBe(this.#handled[partition])
          this.#next[partition] = this.#handled[partition]
        }
        expect(this.#progress.isInHand()).toBe(false)
        break
      case 'commitEnds':
        this.#endCommit(next.isGood)
        break
      case 'commit':
        this.#handle()
        this.#commitAll()
        expect(this.#durable).toEqual(this.#handled)
        break
      case 'move':
        this.#move(next.partition)
        break
    }
    this.#expectPromise()
  }

  #ask(partition: number, wanted: number): void {
    this.#handle()
    if (this.#progress.isCommitDue) this.#commit ??= this.#progress.maybeBegin()
    for (let tries = 0; this.#progress.mayHandOut === 0; tries++) {
      expect(tries, 'a commit that ends well makes way').toBeLessThan(3)
      this.#commit ??= this.#progress.maybeBegin()
      this.#endCommit(true)
    }
    const count = Math.min(wanted, this.#progress.mayHandOut)
    // What 'each' promises: the successor is handed out, so all before it never comes again.
    if (this.#checkpoint === 'each') expect(this.#durable).toEqual(this.#handled)
    this.#next[partition] += count
    this.#progress.handOut(partition, this.#next[partition], count)
    this.handedOut += count
    expect(this.#progress.isInHand(partition)).toBe(true)
  }

  #handle(): void {
    this.#progress.handle()
    for (const partition of [0, 1, 2]) this.#handled[partition] = this.#next[partition]
  }

  #endCommit(isGood: boolean): void {
    const commit = this.#commit
    this.#commit = undefined
    if (commit === undefined) return
    if (!isGood) return this.#progress.fail()
    this.#progress.end(commit)
    for (const { partition, offset } of commit.cursors) this.#durable[partition] = offset
  }

  #commitAll(): void {
    this.#endCommit(true)
    this.#commit = this.#progress.maybeBegin()
    this.#endCommit(true)
  }

  /** The partition goes to another consumer, and comes back from where that found it. */
  #move(partition: number): void {
    if (this.#progress.isInHand(partition)) return
    if (this.#checkpoint !== 'manual') this.#commitAll()
    else this.#endCommit(true)
    const isLost = this.#next[partition] !== this.#durable[partition]
    this.#progress.revoke(partition)
    expect(this.#progress.takeLost()).toBe(isLost)
    if (this.#checkpoint !== 'manual') expect(isLost).toBe(false)
    this.#next[partition] = this.#durable[partition]
    this.#handled[partition] = this.#durable[partition]
    this.#progress.assign(partition, ++this.#generation, this.#durable[partition])
  }

  /** If the process died now, so many records would be handed out a second time. */
  #expectPromise(): void {
    let repeated = 0
    for (const partition of [0, 1, 2]) {
      expect(this.#durable[partition]).toBeLessThanOrEqual(this.#handled[partition])
      repeated += this.#next[partition] - this.#durable[partition]
    }
    if (typeof this.#checkpoint === 'object') expect(repeated).toBeLessThanOrEqual(this.#checkpoint.every)
  }
}

describe('a consumer’s progress', () => {
  it.each<Checkpoint>(['each', { every: 1 }, { every: 7 }, 'manual'])(
    'keeps its promise whenever it dies (%j)',
    (checkpoint) => {
      check(fc.array(action, { maxLength: 60 }), (actions) => {
        const story = new Story(checkpoint)
        for (const next of actions) story.run(next)
      })
    },
  )

  it('begins a commit in good time with { every }, so that handing out need not wait', () => {
    const progress = new ConsumerProgress({ every: 10 })
    progress.assign(0, 1, 0)
    const begun: number[] = []
    for (let next = 1; next <= 100; next++) {
      progress.handle()
      expect(progress.mayHandOut).toBeGreaterThan(0)
      if (progress.isCommitDue) {
        const commit = progress.maybeBegin()!
        begun.push(commit.cursors[0].offset)
        progress.end(commit)
      }
      progress.handOut(0, next, 1)
    }
    expect(begun).toEqual(Array.from({ length: 19 }, (_none, index) => (index + 1) * 5))
  })
})
