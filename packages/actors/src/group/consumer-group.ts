import { type CursorMove, placeCursor, WalrusError } from '@walrus-log/core'
import { type LogClient, readFirstOffset, type TopicPlace } from '../log/log-client.js'
import { highWatermark } from '../log/reader.js'
import { type Grant, GroupAssignment } from './assignment.js'
import type { CursorLog } from './cursor-log.js'
import type { ConsumeFrom, GroupStats, JoinRequest, Release, Share } from './messages.js'

export interface Member {
  client: number
  life: number
  from: ConsumeFrom
}

export interface ConsumerGroupOptions {
  client: LogClient
  log: CursorLog
  place: TopicPlace
  group: string
  /** Offset of the first record of that time or later; the watermark where there is none yet. */
  offsetOfTime: (partition: number, timestampMs: number) => Promise<number>
  /** Tells a member to ask for its share. */
  notify: (member: Member, number: number) => void
  onMoved: (partition: number, from: number, to: number, reason: CursorMove) => void
  /** Nobody is in the group or about to join, and nothing is being written for it: all of it is in the cursor log. */
  onIdle: () => void
}

/**
 * One group in the host's thread: carries out what `GroupAssignment` says. A member has a partition only after the grant
 * stands in the cursor log, with the cursor that it begins at: so that nobody begins anew who has begun once, and what
 * a former member still writes counts no more.
 */
export class ConsumerGroup {
  readonly members = new Map<number, Member>()
  readonly #options: ConsumerGroupOptions
  readonly #offsets: number[] = []
  #assignment: GroupAssignment | undefined
  /** Joins and advances run one after the other. */
  #work: Promise<unknown> = Promise.resolve()
  /** Joins and advances that have not ended. */
  #pending = 0
  /** The last advance failed with it: members that ask are told, and it is tried again. */
  #failure: unknown
  #end: WalrusError | undefined

  constructor(options: ConsumerGroupOptions) {
    this.#options = options
  }

  /** Resolves when the member has what was free for it. */
  join(number: number, request: JoinRequest): Promise<void> {
    return this.#inOrder(async () => {
      const { log } = this.#options
      await log.catchUp()
      this.#assignment ??= new GroupAssignment(
        this.#options.place.partitions.map(({ partition }) => log.table.get(this.#key(partition))?.generation ?? 0),
      )
      this.#requireStart(request.from)
      this.members.set(number, request)
      this.#assignment.join(number)
      try {
        await this.#advance()
      } catch (error) {
        this.leave(number)
        throw error
      }
    })
  }

  async share(number: number): Promise<Share[]> {
    if (this.#failure !== undefined) await this.#inOrder(() => this.#advance())
    if (this.#end !== undefined) throw this.#end
    if (!this.members.has(number) || this.#assignment === undefined) throw fenced(this.#options.group)
    return this.#assignment.held(number).map((held) => ({ ...held, offset: this.#offsets[held.partition] }))
  }

  release(number: number, releases: readonly Release[]): void {
    for (const { partition, generation } of releases) this.#assignment?.release(number, partition, generation)
    this.#advanceLater()
  }

  /** The member left, or died. All that it committed is in the cursor log. */
  leave(number: number): void {
    if (!this.members.delete(number)) return
    this.#assignment?.leave(number)
    this.#advanceLater()
  }

  /** The topic is gone. */
  end(error: WalrusError): void {
    this.#end = error
    for (const [number, member] of this.members) this.#options.notify(member, number)
  }

  stats(): GroupStats {
    const { client, log, place, group } = this.#options
    return groupStats(client, log, place, group, this.members.size)
  }

  #advanceLater(): void {
    this.#inOrder(() => this.#advance()).catch(() => {
      for (const [number, member] of this.members) this.#options.notify(member, number)
    })
  }

  async #advance(): Promise<void> {
    const assignment = this.#assignment
    if (assignment === undefined || this.#end !== undefined) return
    for (;;) {
      const { grants, revocations } = assignment.next()
      for (const { member } of revocations) this.#notify(member)
      if (grants.length === 0) break
      try {
        await this.#writeDown(grants)
      } catch (error) {
        for (const grant of grants) assignment.refused(grant)
        this.#failure = error
        throw error
      }
      for (const grant of grants) if (assignment.granted(grant)) this.#notify(grant.member)
    }
    this.#failure = undefined
  }

  #notify(number: number): void {
    const member = this.members.get(number)
    if (member !== undefined) this.#options.notify(member, number)
  }

  async #writeDown(grants: readonly Grant[]): Promise<void> {
    const { log, onMoved } = this.#options
    await log.catchUp()
    const cursors = []
    for (const { member, partition, generation } of grants) {
      const known = log.table.get(this.#key(partition))
      const from = known?.offset ?? (await this.#startOf(partition, this.members.get(member)?.from ?? 'start'))
      const { offset, move } = placeCursor(from, this.#first(partition), this.#next(partition))
      if (move !== undefined && known !== undefined) onMoved(partition, from, offset, move)
      this.#offsets[partition] = offset
      cursors.push({ ...this.#key(partition), generation, offset })
    }
    await log.write(cursors)
  }

  /** Where a group begins in a partition that it has no cursor in. */
  async #startOf(partition: number, from: ConsumeFrom): Promise<number> {
    if (from === 'start') return this.#first(partition)
    if (from === 'end') return this.#next(partition)
    if (from instanceof Date) return this.#options.offsetOfTime(partition, from.getTime())
    return from
  }

  /** Throws `OFFSET_OUT_OF_RANGE` where the group would begin at an offset that a partition does not have. */
  #requireStart(from: ConsumeFrom): void {
    if (typeof from !== 'number') return
    for (const { partition } of this.#options.place.partitions) {
      if (this.#options.log.table.get(this.#key(partition)) !== undefined) continue
      requireOffset(from, partition, this.#first(partition), this.#next(partition))
    }
  }

  #first(partition: number): number {
    return readFirstOffset(this.#options.client.memory, this.#options.place.partitions[partition].slot)
  }

  #next(partition: number): number {
    return highWatermark(this.#options.client, this.#options.place.partitions[partition])
  }

  #key(partition: number): { group: string; topic: string; createdMs: number; partition: number } {
    const { name, createdMs } = this.#options.place.config
    return { group: this.#options.group, topic: name, createdMs, partition }
  }

  #inOrder<Result>(action: () => Promise<Result>): Promise<Result> {
    this.#pending++
    const result = this.#work.then(action).finally(() => {
      this.#pending--
      if (this.#pending === 0 && this.members.size === 0) this.#options.onIdle()
    })
    this.#work = result.catch(() => {})
    return result
  }
}

/** How far a group is, by what is committed; `log` has been caught up with. */
export function groupStats(
  client: LogClient,
  log: CursorLog,
  { config, partitions }: TopicPlace,
  group: string,
  members: number,
): GroupStats {
  const stats: GroupStats = { group, members, lag: 0, partitions: [] }
  for (const place of partitions) {
    const key = { group, topic: config.name, createdMs: config.createdMs, partition: place.partition }
    const cursor = log.table.get(key)?.offset
    if (cursor === undefined) continue
    const first = Math.max(cursor, readFirstOffset(client.memory, place.slot))
    const lag = Math.max(highWatermark(client, place) - first, 0)
    stats.partitions.push({ partition: place.partition, cursor, lag })
    stats.lag += lag
  }
  return stats
}

/** Throws `OFFSET_OUT_OF_RANGE` unless a consumer can go on at `offset`. */
export function requireOffset(offset: number, partition: number, first: number, next: number): void {
  if (offset >= first && offset <= next) return
  throw new WalrusError(
    'OFFSET_OUT_OF_RANGE',
    `partition ${partition} has offsets ${first} to ${next - 1}, ${offset} was asked for; take one of ${first} to ${next}`,
    { first, next, offset },
  )
}

export function fenced(group: string): WalrusError {
  return new WalrusError(
    'CONSUMER_FENCED',
    `another consumer of group ${JSON.stringify(group)} was given the partition before this commit; what was handed out here and not committed is handed out there: go on with the next record`,
  )
}
