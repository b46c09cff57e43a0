import { describe, expect, it } from 'vitest'
import { type Grant, GroupAssignment } from '#actors/group/assignment.js'
import { check, fc } from '../support/seeded.js'

type Action =
  | { type: 'join' }
  | { type: 'leave'; which: number }
  | { type: 'next' }
  | { type: 'answer'; isGood: boolean; which: number }
  | { type: 'release'; which: number }
  | { type: 'stale'; which: number }

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ type: 'join' }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('leave'), which: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.constant({ type: 'next' }) },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('answer'), isGood: fc.boolean(), which: fc.nat(20) }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('release'), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('stale'), which: fc.nat(20) }) },
) as fc.Arbitrary<Action>

/** The machine with its surroundings: grants that are being written, members that are asked for partitions. */
class Story {
  readonly #assignment: GroupAssignment
  readonly #partitions: number
  readonly #members: number[] = []
  readonly #writing: Grant[] = []
  readonly #asked: { member: number; partition: number }[] = []
  /** The last generation that was granted of each partition, and to whom. */
  readonly #generations: number[]
  #memberLast = 0

  constructor(partitions: number) {
    this.#partitions = partitions
    this.#generations = Array.from({ length: partitions }, (_none, partition) => partition * 3)
    this.#assignment = new GroupAssignment(this.#generations)
  }

  run(next: Action): void {
    switch (next.type) {
      case 'join':
        if (this.#members.length >= 6) return
        this.#assignment.join(++this.#memberLast)
        this.#members.push(this.#memberLast)
        break
      case 'leave': {
        const [member] = this.#members.splice(next.which % Math.max(this.#members.length, 1), 1)
        if (member !== undefined) expect(this.#assignment.leave(member)).toBe(true)
        expect(this.#assignment.leave(-2)).toBe(false)
        break
      }
      case 'next':
        this.#next()
        break
      case 'answer':
        this.#answer(next.which, next.isGood)
        break
      case 'release':
        this.#release(next.which)
        break
      case 'stale': {
        const partition = next.which % this.#partitions
        const stale = this.#generations[partition] - 1
        for (const member of this.#members) expect(this.#assignment.release(member, partition, stale)).toBe(false)
        break
      }
    }
    this.#expectOneHand()
  }

  /** Whatever has happened: when all is answered, every partition has a hand, and the shares are equal give or take one. */
  settle(): void {
    for (let round = 0; round < 10; round++) {
      this.#next()
      while (this.#writing.length > 0) this.#answer(0, true)
      while (this.#asked.length > 0) this.#release(0)
    }
    if (this.#members.length === 0) return
    const counts = this.#members.map((member) => this.#assignment.held(member).length)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(this.#partitions)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    expect(this.#assignment.next()).toEqual({ grants: [], revocations: [] })
  }

  #next(): void {
    const { grants, revocations } = this.#assignment.next()
    for (const grant of grants) {
      expect(this.#members).toContain(grant.member)
      expect(grant.generation).toBeGreaterThan(this.#generations[grant.partition])
      this.#generations[grant.partition] = grant.generation
      this.#writing.push(grant)
    }
    this.#asked.push(...revocations)
  }

  #answer(which: number, isGood: boolean): void {
    const [grant] = this.#writing.splice(which % Math.max(this.#writing.length, 1), 1)
    if (grant === undefined) return
    if (!isGood) this.#assignment.refused(grant)
    else expect(this.#assignment.granted(grant)).toBe(this.#members.includes(grant.member))
  }

  #release(which: number): void {
    const [asked] = this.#asked.splice(which % Math.max(this.#asked.length, 1), 1)
    if (asked === undefined) return
    const held = this.#assignment.held(asked.member).find(({ partition }) => partition === asked.partition)
    if (!this.#members.includes(asked.member)) return expect(held).toBeUndefined()
    expect(held?.isRevoked).toBe(true)
    expect(this.#assignment.release(asked.member, asked.partition, held!.generation)).toBe(true)
  }

  #expectOneHand(): void {
    const seen = new Set<number>()
    for (const member of this.#members) {
      for (const { partition, generation } of this.#assignment.held(member)) {
        expect(seen.has(partition)).toBe(false)
        seen.add(partition)
        expect(generation).toBe(this.#generations[partition])
      }
    }
    for (const { partition } of this.#writing) expect(seen.has(partition)).toBe(false)
  }
}

describe('an assignment', () => {
  it('has each partition in one hand at a time, in rising generations, and comes to equal shares', () => {
    check(
      fc.tuple(fc.integer({ min: 1, max: 7 }), fc.array(action, { maxLength: 80 })),
      ([partitions, actions]) => {
        const story = new Story(partitions)
        for (const next of actions) story.run(next)
        story.settle()
      },
      500,
    )
  })

  it('moves no more than it must', () => {
    const assignment = new GroupAssignment([0, 0, 0, 0])
    assignment.join(1)
    const { grants } = assignment.next()
    expect(grants.map(({ partition }) => partition)).toEqual([0, 1, 2, 3])
    for (const grant of grants) assignment.granted(grant)
    assignment.join(2)
    expect(assignment.next()).toEqual({
      grants: [],
      revocations: [
        { member: 1, partition: 2 },
        { member: 1, partition: 3 },
      ],
    })
    expect(assignment.release(1, 2, 1)).toBe(true)
    expect(assignment.release(1, 2, 1)).toBe(false)
    expect(assignment.next()).toEqual({ grants: [{ member: 2, partition: 2, generation: 2 }], revocations: [] })
    assignment.granted({ member: 2, partition: 2, generation: 2 })
    assignment.release(1, 3, 1)
    for (const grant of assignment.next().grants) assignment.granted(grant)
    expect(assignment.held(2).map(({ partition }) => partition)).toEqual([2, 3])
    // Two of three leave: what the third has stays where it is.
    assignment.join(3)
    assignment.leave(3)
    expect(assignment.next()).toEqual({ grants: [], revocations: [] })
    assignment.leave(1)
    expect(assignment.next().grants).toEqual([
      { member: 2, partition: 0, generation: 2 },
      { member: 2, partition: 1, generation: 2 },
    ])
  })
})
