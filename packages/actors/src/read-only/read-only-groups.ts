import { threadId } from 'node:worker_threads'
import { isWalrusError, placeCursor } from '@walrus-log/core'
import { groupStats, requireOffset } from '../group/consumer-group.js'
import { type CursorFiles, CursorLog } from '../group/cursor-log.js'
import type { ConsumeFrom, GroupStats, HostPlace, JoinRequest, Membership, Share } from '../group/messages.js'
import { offsetOfTime } from '../group/offset-of-time.js'
import { type LogClient, readFirstOffset, type TopicPlace } from '../log/log-client.js'
import { highWatermark } from '../log/reader.js'

export interface ReadOnlyGroupHost extends CursorFiles {
  readonly fileSystem: string | undefined
  /** The cursor log's topic; undefined where nobody has made one. */
  openCursorTopic(): Promise<TopicPlace | undefined>
}

/**
 * Consumer groups as somebody sees them who may not write: where they have got to. A consumer here takes no part in its
 * group: it has all partitions, begins at the cursors, and moves none.
 */
export class ReadOnlyGroups {
  readonly place: HostPlace = { thread: threadId, log: 0 }
  readonly #host: ReadOnlyGroupHost
  readonly #client: LogClient
  readonly #shares = new Map<number, Share[]>()
  #log: CursorLog | undefined
  #members = 0

  constructor(host: ReadOnlyGroupHost, client: LogClient) {
    this.#host = host
    this.#client = client
  }

  async join({ group, from }: JoinRequest, place: TopicPlace): Promise<number> {
    const log = await this.#caughtUp()
    const { name, createdMs } = place.config
    const shares: Share[] = []
    for (const { partition, slot } of place.partitions) {
      const first = readFirstOffset(this.#client.memory, slot)
      const next = highWatermark(this.#client, place.partitions[partition])
      const known = log?.table.get({ group, topic: name, createdMs, partition })?.offset
      const { offset } = placeCursor(known ?? (await this.#startOf(place, partition, from, first, next)), first, next)
      shares.push({ partition, generation: 1, offset, isRevoked: false })
    }
    const member = ++this.#members
    this.#shares.set(member, shares)
    return member
  }

  share({ member }: Membership): Share[] {
    return this.#shares.get(member) ?? []
  }

  leave({ member }: Membership): void {
    this.#shares.delete(member)
  }

  async stats(place: TopicPlace): Promise<GroupStats[]> {
    const log = await this.#caughtUp()
    if (log === undefined) return []
    const { name, createdMs } = place.config
    const names = new Set<string>()
    for (const { group, topic, createdMs: created } of log.table.entries()) {
      if (topic === name && created === createdMs) names.add(group)
    }
    return [...names].sort().map((group) => groupStats(this.#client, log, place, group, 0))
  }

  close(): void {
    this.#shares.clear()
  }

  async #startOf(
    place: TopicPlace,
    partition: number,
    from: ConsumeFrom,
    first: number,
    next: number,
  ): Promise<number> {
    if (from === 'start') return first
    if (from === 'end') return next
    if (from instanceof Date) {
      const { fileSystem } = this.#host
      return offsetOfTime(this.#client, place, { partition, timestampMs: from.getTime(), fileSystem })
    }
    requireOffset(from, partition, first, next)
    return from
  }

  async #caughtUp(): Promise<CursorLog | undefined> {
    for (;;) {
      const isNew = this.#log === undefined
      if (isNew) {
        const place = await this.#host.openCursorTopic()
        this.#log = place && new CursorLog(this.#client, this.#host, place)
      }
      try {
        await this.#log?.catchUp()
        return this.#log
      } catch (error) {
        // Its writer has made it shorter: what it says now begins further on, and says everything.
        this.#log = undefined
        if (isNew || !(isWalrusError(error) && error.code === 'OFFSET_OUT_OF_RANGE')) throw error
      }
    }
  }
}
