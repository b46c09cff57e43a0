import { type MessagePort, threadId } from 'node:worker_threads'
import type { CursorKey, TopicConfig } from '@walrus-log/core'
import { closedError, type LogClient, type TopicPlace, unknownTopic } from '../log/log-client.js'
import { highWatermark } from '../log/reader.js'
import { ConsumerGroup, fenced, groupStats } from './consumer-group.js'
import { CURSOR_TOPIC, type CursorFiles, CursorLog } from './cursor-log.js'
import { lanesSettled } from './lanes-settled.js'
import type {
  CursorEvent,
  CursorLogPlace,
  GroupCalls,
  GroupStats,
  HostPlace,
  JoinRequest,
  LinkOffer,
  Membership,
  Notice,
  Release,
  Share,
} from './messages.js'
import { offsetOfTime } from './offset-of-time.js'

/** What the groups need of the host. */
export interface GroupHost extends CursorFiles {
  /** Opens the cursor log's topic; where there is none, makes it if `isWanted`. Not to be called twice at once. */
  openCursorTopic(isWanted: boolean): Promise<TopicPlace | undefined>
  /** Runs what changes a topic when no other change of that topic is under way. */
  change<Result>(topic: string, action: () => Promise<Result>): Promise<Result>
  topics(): Promise<TopicConfig[]>
  /** An open topic. */
  placeOf(topic: string): Promise<TopicPlace> | undefined
  /** Module of the file system that is read from. */
  readonly fileSystem: string | undefined
}

/** A thread that has consumers. */
interface Link {
  life: number
  send: (notice: Notice) => void
}

/** Services of the logs that were opened in this thread, by number. */
const services = new Map<number, GroupService>()
let logs = 0

/** All consumer groups of an open log: who has which partition, and where every group is. Owned by the host's thread. */
export class GroupService implements GroupCalls {
  readonly place: HostPlace = { thread: threadId, log: ++logs }
  readonly #host: GroupHost
  readonly #client: LogClient
  #loading: Promise<unknown> = Promise.resolve()
  readonly #onEvent: (event: CursorEvent) => void
  /** Those that have members: what else there is to know of a group is in the cursor log. */
  readonly #groups = new Map<string, ConsumerGroup>()
  readonly #links = new Map<number, Link>()
  #log: CursorLog | undefined
  /** There is no cursor log, and nobody but this makes one. */
  #isAbsent = false
  #members = 0
  #isClosed = false

  constructor(host: GroupHost, client: LogClient, onEvent: (event: CursorEvent) => void) {
    this.#host = host
    this.#client = client
    this.#onEvent = onEvent
    if (services.size === 0) process.on('workerMessage', takeOffer)
    services.set(this.place.log, this)
  }

  /** The service of a log that was opened in this thread. */
  static local(place: HostPlace): GroupService | undefined {
    return place.thread === threadId ? services.get(place.log) : undefined
  }

  async cursorLog(): Promise<CursorLogPlace> {
    const { place, compactAt } = await this.#loaded()
    return { place, compactAt }
  }

  async compactCursors(): Promise<number> {
    const log = await this.#loaded()
    return log.compact(() => this.#deadKeys())
  }

  async joinGroup(request: JoinRequest): Promise<number> {
    const log = await this.#loaded()
    const place = await this.#host.placeOf(request.topic)
    if (place === undefined || place.config.createdMs !== request.createdMs) throw unknownTopic(request.topic)
    const member = ++this.#members
    const group = this.#groups.get(keyOf(request)) ?? this.#makeGroup(log, place, request.group)
    await group.join(member, request)
    // It may have ended while it joined; then nobody would tell of its end.
    if (request.client !== this.#client.client && this.#links.get(request.client)?.life !== request.life) {
      group.leave(member)
    }
    return member
  }

  async groupShare(membership: Membership): Promise<Share[]> {
    this.#requireOpen()
    return this.#groupOf(membership).share(membership.member)
  }

  async releasePartitions(membership: Membership, releases: Release[]): Promise<void> {
    this.#requireOpen()
    this.#groups.get(keyOf(membership))?.release(membership.member, releases)
  }

  async leaveGroup(membership: Membership): Promise<void> {
    this.#groups.get(keyOf(membership))?.leave(membership.member)
  }

  async cursorMoved(event: CursorEvent): Promise<void> {
    this.#onEvent(event)
  }

  /** Every group that has a cursor or a member in the topic. */
  async stats(place: TopicPlace): Promise<GroupStats[]> {
    const log = this.#log
    if (log === undefined) return []
    await log.catchUp()
    const { name, createdMs } = place.config
    const names = new Set<string>()
    for (const { group, topic, createdMs: created } of log.table.entries()) {
      if (topic === name && created === createdMs) names.add(group)
    }
    return [...names].sort().map((group) => {
      const members = this.#groups.get(keyOf({ group, topic: name }))?.members.size ?? 0
      return groupStats(this.#client, log, place, group, members)
    })
  }

  /** Before anybody can append to a topic: what its groups handled and a crash took back must not count for what comes. */
  async topicOpened(place: TopicPlace): Promise<void> {
    // A cursor log that cannot be read is told to those who consume; records can be read and written without it.
    const log = await this.#load(false).catch(() => undefined)
    if (log === undefined) return
    const { name, createdMs } = place.config
    const moved = [...log.table.entries()].filter(
      ({ topic, createdMs: created, partition, offset }) =>
        topic === name && created === createdMs && offset > this.#next(place, partition),
    )
    if (moved.length === 0) return
    await log.write(
      moved.map((entry) => ({
        ...entry,
        offset: this.#next(place, entry.partition),
        generation: entry.generation + 1,
      })),
    )
    await log.catchUp()
    for (const { topic, partition, group, offset } of moved) {
      const to = this.#next(place, partition)
      this.#onEvent({ type: 'cursor-moved', reason: 'data-loss', topic, partition, group, from: offset, to })
    }
  }

  /** Names of the groups that are kept in memory. */
  get groups(): string[] {
    return [...this.#groups.keys()]
  }

  topicDeleted(topic: string): void {
    for (const [key, group] of this.#groups) {
      if (!key.startsWith(`${topic}/`)) continue
      group.end(unknownTopic(topic))
      this.#groups.delete(key)
    }
    this.#log?.table.forget((key) => key.topic === topic)
  }

  /** A thread of this process has consumers, and is told of what concerns them by `send`. */
  addLink(client: number, life: number, send: (notice: Notice) => void): void {
    this.#links.set(client, { life, send })
  }

  /** A thread has ended: what it had on its way to the cursor log counts, then its partitions go to others. */
  async removeLink(client: number, life: number): Promise<void> {
    if (this.#links.get(client)?.life === life) this.#links.delete(client)
    if (this.#isClosed) return
    const dead: { group: ConsumerGroup; member: number }[] = []
    for (const group of this.#groups.values()) {
      for (const [member, of] of group.members) {
        if (of.client === client && of.life === life) dead.push({ group, member })
      }
    }
    if (dead.length === 0) return
    if (this.#log !== undefined) await lanesSettled(this.#client.memory, client, this.#log.place.partitions[0])
    for (const { group, member } of dead) group.leave(member)
  }

  /** Grants nothing any more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    services.delete(this.place.log)
    if (services.size === 0) process.off('workerMessage', takeOffer)
  }

  #makeGroup(log: CursorLog, place: TopicPlace, group: string): ConsumerGroup {
    const topic = place.config.name
    const key = keyOf({ topic, group })
    const made = new ConsumerGroup({
      client: this.#client,
      log,
      place,
      group,
      offsetOfTime: (partition, timestampMs) =>
        offsetOfTime(this.#client, place, { partition, timestampMs, fileSystem: this.#host.fileSystem }),
      notify: ({ client, life }, member) => {
        const link = this.#links.get(client)
        if (link?.life === life) link.send(member)
      },
      onMoved: (partition, from, to, reason) =>
        this.#onEvent({ type: 'cursor-moved', reason, topic, partition, group, from, to }),
      onIdle: () => {
        if (this.#groups.get(key) === made) this.#groups.delete(key)
      },
    })
    this.#groups.set(key, made)
    return made
  }

  /** Throws what a member is told that is in no group any more. */
  #groupOf(membership: Membership): ConsumerGroup {
    const group = this.#groups.get(keyOf(membership))
    if (group !== undefined) return group
    const { topic, group: name } = membership
    throw this.#host.placeOf(topic) === undefined ? unknownTopic(topic) : fenced(name)
  }

  #next({ partitions }: TopicPlace, partition: number): number {
    return highWatermark(this.#client, partitions[partition])
  }

  #requireOpen(): void {
    if (this.#isClosed) throw closedError()
  }

  async #loaded(): Promise<CursorLog> {
    this.#requireOpen()
    return this.#log ?? (await this.#host.change(CURSOR_TOPIC, async () => (await this.#load(true))!))
  }

  /** Topics may be opened at once: the cursor log is opened by one of them, and the others wait. Called within a change. */
  #load(isWanted: boolean): Promise<CursorLog | undefined> {
    const loading = this.#loading.then(() => this.#loadNext(isWanted))
    this.#loading = loading.catch(() => {})
    return loading
  }

  async #loadNext(isWanted: boolean): Promise<CursorLog | undefined> {
    if (this.#log !== undefined || (this.#isAbsent && !isWanted)) return this.#log
    const place = await this.#host.openCursorTopic(isWanted)
    this.#isAbsent = place === undefined
    if (place === undefined) return undefined
    const log = new CursorLog(this.#client, this.#host, place)
    await log.catchUp()
    log.table.forget(await this.#deadKeys())
    this.#log = log
    return log
  }

  async #deadKeys(): Promise<(key: CursorKey) => boolean> {
    const topics = await this.#host.topics()
    return ({ topic, createdMs }) => !topics.some((config) => config.name === topic && config.createdMs === createdMs)
  }
}

/** Names hold no slash. A deleted topic's groups are gone before another one of its name is there. */
function keyOf({ topic, group }: { topic: string; group: string }): string {
  return `${topic}/${group}`
}

/** A thread that is attached to one of this thread's logs will have consumers. The port ends with that thread. */
function takeOffer(message: unknown): void {
  const { kind, log, client, life, port } = message as LinkOffer & { port: MessagePort }
  if (kind !== 'walrus-group-link') return
  const service = services.get(log)
  if (service === undefined) return port.close()
  service.addLink(client, life, (notice) => port.postMessage(notice))
  port.once('close', () => void service.removeLink(client, life))
  port.unref()
}
