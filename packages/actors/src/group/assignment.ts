import { assert } from '@walrus-log/core'

/**
 * Which member of a group has which partition: a pure state machine. Threads, cursors and the disk stand around it.
 *
 *   join, leave, release      what happened
 *   next()                    what is to be done about it: grants to be written down, members to be asked for partitions
 *   granted, refused          what became of a grant
 *
 * A partition goes from hand to hand, and is in one hand at a time:
 *
 *   FREE --next()--> GRANTING to a member --granted--> OWNED --next()--> REVOKED, still the member's --release--> FREE
 *                        `--refused--> FREE                 `--- leave, from OWNED and REVOKED: FREE ---^
 *
 * Each grant raises the partition's generation, by which what a former holder still writes is told from what counts.
 * Members get equal shares, give or take one, and keep what they have as far as that allows.
 */
export class GroupAssignment {
  readonly #partitions: Partition[]
  /** In the order in which they joined. */
  readonly #members = new Set<number>()

  /** `generations`: the last generation of each partition. */
  constructor(generations: readonly number[]) {
    this.#partitions = generations.map((generation) => ({ state: 'free', member: -1, generation }))
  }

  get memberCount(): number {
    return this.#members.size
  }

  join(member: number): void {
    assert(!this.#members.has(member), 'a member joins once')
    this.#members.add(member)
  }

  /** The member is gone, whether it said so or died. Returns false where it was gone already. */
  leave(member: number): boolean {
    if (!this.#members.delete(member)) return false
    for (const partition of this.#partitions) {
      // A grant that is being written ends as it may, and is then taken back.
      if (partition.member === member && partition.state !== 'granting') free(partition)
    }
    return true
  }

  /** The member gives a partition up. Returns false where it does not have it in that generation. */
  release(member: number, partition: number, generation: number): boolean {
    const held = this.#partitions[partition]
    if (!this.isHeld(member, partition, generation)) return false
    free(held)
    return true
  }

  isHeld(member: number, partition: number, generation: number): boolean {
    const held = this.#partitions[partition]
    if (held === undefined || held.member !== member || held.generation !== generation) return false
    return held.state === 'owned' || held.state === 'revoked'
  }

  /** What is to be done now. Grants have to be answered by `granted` or `refused`; revocations by the member's release. */
  next(): Steps {
    const steps: Steps = { grants: [], revocations: [] }
    const shares = this.#shares()
    this.#partitions.forEach((partition, number) => {
      if (partition.state === 'revoked') return
      const { member } = partition
      if (member === -1 || !this.#members.has(member)) return
      const share = shares.get(member)!
      if (share > 0) shares.set(member, share - 1)
      else if (partition.state === 'owned') {
        partition.state = 'revoked'
        steps.revocations.push({ member, partition: number })
      }
    })
    // What is still on its way to a member takes up room there; what is left of the shares is for what is free.
    const hungry = [...this.#members].filter((member) => shares.get(member)! > 0)
    this.#partitions.forEach((partition, number) => {
      if (partition.state !== 'free' || hungry.length === 0) return
      const member = hungry[0]
      const share = shares.get(member)! - 1
      shares.set(member, share)
      if (share === 0) hungry.shift()
      partition.state = 'granting'
      partition.member = member
      partition.generation++
      steps.grants.push({ member, partition: number, generation: partition.generation })
    })
    return steps
  }

  /** The grant is written down. Returns whether the member has the partition: it may have left meanwhile. */
  granted({ member, partition, generation }: Grant): boolean {
    const held = this.#granting(partition, generation)
    if (!this.#members.has(member)) {
      free(held)
      return false
    }
    held.state = 'owned'
    return true
  }

  /** The grant could not be written down. Its generation is used up: nobody knows what of it is on the disk. */
  refused({ partition, generation }: Grant): void {
    free(this.#granting(partition, generation))
  }

  /** What the member has, and which of it it is to give up. */
  held(member: number): { partition: number; generation: number; isRevoked: boolean }[] {
    const held: ReturnType<GroupAssignment['held']> = []
    this.#partitions.forEach(({ state, member: holder, generation }, partition) => {
      if (holder !== member || (state !== 'owned' && state !== 'revoked')) return
      held.push({ partition, generation, isRevoked: state === 'revoked' })
    })
    return held
  }

  /** How many partitions each member is to have: who has more now gets the larger share, so that less moves. */
  #shares(): Map<number, number> {
    const counts = new Map<number, number>()
    for (const member of this.#members) counts.set(member, 0)
    for (const { member, state } of this.#partitions) {
      const count = counts.get(member)
      if (count !== undefined && state !== 'revoked') counts.set(member, count + 1)
    }
    const most = [...counts].sort((left, right) => right[1] - left[1])
    const least = Math.floor(this.#partitions.length / Math.max(most.length, 1))
    const extra = this.#partitions.length - least * most.length
    return new Map(most.map(([member], place) => [member, least + (place < extra ? 1 : 0)]))
  }

  #granting(partition: number, generation: number): Partition {
    const held = this.#partitions[partition]
    assert(held.state === 'granting' && held.generation === generation, 'a grant is answered once')
    return held
  }
}

interface Partition {
  state: 'free' | 'granting' | 'owned' | 'revoked'
  /** -1 while it is free. */
  member: number
  /** The last grant's. */
  generation: number
}

export interface Grant {
  member: number
  partition: number
  generation: number
}

export interface Steps {
  grants: Grant[]
  revocations: { member: number; partition: number }[]
}

function free(partition: Partition): void {
  partition.state = 'free'
  partition.member = -1
}
