import { randomInt } from 'node:crypto'
import path from 'node:path'
import {
  type CursorEntry,
  type DirectoryLock,
  isWalrusError,
  lockDirectory,
  systemErrorCode,
  type TopicConfig,
  type TopicRequest,
  WalrusError,
} from '@walrus-log/core'
import { CURSOR_TOPIC, CURSOR_TOPIC_REQUEST, requireNotReserved } from '../group/cursor-log.js'
import { type GroupHost, GroupService } from '../group/group-service.js'
import type { CursorEvent, JoinRequest, Membership, Release } from '../group/messages.js'
import { HEADER_STATE_AT, PARTITION_DELETED_AT, partitionAt, STATE_CLOSED, STATE_CLOSING } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { decodeError } from '../message/error-codec.js'
import { ReaderPool } from '../reader-pool/reader-pool.js'
import type { AheadRequest, FillReply, FillRequest } from '../reader-pool/tasks.js'
import { signalPartition } from '../writer/settlement.js'
import { Changes } from './changes.js'
import {
  closedError,
  type LogClient,
  type OpenedProducer,
  type OpenProducerRequest,
  type TopicPlace,
  type TopicSlot,
  type TopicStats,
  type TrimmedPartition,
  type TrimRequest,
  unknownTopic,
} from './log-client.js'
import type { LogHost } from './log-host.js'
import { Maintenance } from './maintenance.js'
import { OpenPartitions } from './open-partitions.js'
import type { FilledOpenOptions } from './options.js'
import { ProducerOpenings } from './producer-openings.js'
import { publishedWriters, StatsPublisher } from './published-stats.js'
import { choosePartitions } from './reader.js'
import type { WalrusStats } from './stats.js'
import { topicStatsOf } from './topic-stats.js'
import { requireTrimmable } from './trimmable.js'
import { wakeAll } from './wake-all.js'
import { WatermarkPlaces } from './watermark-places.js'

interface OpenTopic {
  place: Promise<TopicPlace>
}

/**
 * What the opener of a log owns: the lock, the writers, the reader pool, the open topics. It answers the control calls of
 * all threads. Nothing here waits for a disk in the opener's own thread.
 */
export class Host implements LogHost, GroupHost {
  readonly directory: string
  readonly memory: SharedMemory
  readonly maintenance: Maintenance
  /** Set once, before anything is opened. */
  groups!: GroupService
  readonly #options: FilledOpenOptions
  readonly #lock: DirectoryLock
  readonly #pool: ReaderPool
  readonly #partitions: OpenPartitions
  readonly #watermarks: WatermarkPlaces
  #stats: StatsPublisher | undefined
  readonly #topics = new Map<string, OpenTopic>()
  readonly #changes = new Changes()
  readonly #producers = new ProducerOpenings(
    (topic, action) => this.change(topic, action),
    (topic, requests) => this.#openProducers(topic, requests),
  )
  #closing: Promise<void> | undefined

  private constructor(
    directory: string,
    memory: SharedMemory,
    options: FilledOpenOptions,
    lock: DirectoryLock,
    pool: ReaderPool,
    watermarks: WatermarkPlaces,
  ) {
    this.directory = directory
    this.memory = memory
    this.#options = options
    this.#lock = lock
    this.#pool = pool
    this.#watermarks = watermarks
    this.#partitions = new OpenPartitions(directory, memory, options, watermarks)
    this.maintenance = new Maintenance(memory, pool, options.onEvent ?? (() => {}))
  }

  /** Takes the namespace's directory. Throws `LOCKED` where somebody has it. */
  static async open(root: string, memory: SharedMemory, options: FilledOpenOptions): Promise<Host> {
    const directory = path.join(path.resolve(root), options.namespace)
    const pool = new ReaderPool(directory, options.fileSystem)
    let lock: DirectoryLock | undefined
    try {
      await pool.store({ call: 'directory' }).catch((cause) => {
        throw NO_DIRECTORY.has(systemErrorCode(cause)) ? noDirectory(directory, cause) : cause
      })
      lock = lockDirectory(directory)
      const opened = { opening: randomInt(1, 2 ** 32), pid: process.pid, openedMs: Date.now() }
      const { watermarks } = await pool.store({ call: 'prepare', opened })
      const places = new WatermarkPlaces(directory, opened.opening, watermarks!)
      return new Host(directory, memory, options, lock, pool, places)
    } catch (error) {
      lock?.release()
      await pool.close()
      throw error
    }
  }

  /** For the groups, which use the log as all others do. */
  begin(client: LogClient): void {
    this.groups = new GroupService(this, client, this.#options.onEvent ?? (() => {}))
    this.#stats = new StatsPublisher(this.directory, () => publishedWriters(this.memory, this.stats()))
  }

  async openTopic(name: string, request: TopicRequest): Promise<TopicPlace> {
    requireNotReserved(name)
    return this.change(name, () => this.#openTopic(name, request))
  }

  /** The topic that has that slot, after all changes of it. One of its name that was made later is not meant. */
  #require({ topic, slot }: TopicSlot): Promise<TopicPlace> {
    return this.change(topic, () => this.#opened({ topic, slot }))
  }

  async #opened({ topic, slot }: TopicSlot): Promise<TopicPlace> {
    const place = await this.#topics.get(topic)?.place
    if (place?.partitions[0].slot !== slot) throw unknownTopic(topic)
    return place
  }

  async #openTopic(name: string, request: TopicRequest): Promise<TopicPlace> {
    const { config, registry } = await this.#pool.store({
      call: 'open',
      name,
      request,
      defaults: { durability: this.#options.durability },
    })
    const open = this.#topics.get(name)
    if (open !== undefined) {
      const place = { ...(await open.place), config: config as TopicConfig }
      this.maintenance.watch(place.config, place.partitions)
      return place
    }
    const place = this.#partitions.open(config as TopicConfig, registry)
    this.#topics.set(name, { place })
    place.catch(() => this.#topics.delete(name))
    if (name !== CURSOR_TOPIC) await this.#placeCursors(await place)
    const opened = await place
    this.maintenance.watch(opened.config, opened.partitions)
    return opened
  }

  /** Cursors are never past the data; a topic in which they may be is not opened. */
  async #placeCursors(place: TopicPlace): Promise<void> {
    try {
      await this.groups.topicOpened(place)
    } catch (error) {
      this.#topics.delete(place.config.name)
      await this.#partitions.close(place.partitions)
      throw error
    }
  }

  async topics(): Promise<TopicConfig[]> {
    const topics = (await this.#pool.store({ call: 'list' })).topics ?? []
    return topics.filter(({ name }) => name !== CURSOR_TOPIC)
  }

  get fileSystem(): string | undefined {
    return this.#options.fileSystem
  }

  placeOf(topic: string): Promise<TopicPlace> | undefined {
    return this.#topics.get(topic)?.place
  }

  async openCursorTopic(isWanted: boolean): Promise<TopicPlace | undefined> {
    if (isWanted) return this.#openTopic(CURSOR_TOPIC, CURSOR_TOPIC_REQUEST)
    try {
      await this.#pool.store({ call: 'get', name: CURSOR_TOPIC })
    } catch (error) {
      if (isWalrusError(error) && error.code === 'UNKNOWN_TOPIC') return undefined
      throw error
    }
    return this.#openTopic(CURSOR_TOPIC, {})
  }

  async readCursors(directory: string, from: number | undefined, end: number): Promise<CursorEntry[]> {
    return (await this.#pool.store({ call: 'read-cursors', partitionDirectory: directory, from, end })).cursors ?? []
  }

  async trimCursors(directory: string, before: number): Promise<void> {
    await this.#pool.store({ call: 'trim-cursors', partitionDirectory: directory, before })
  }

  // What consumers in other threads ask of the groups comes over the same lanes as all other calls.
  cursorLog = () => this.groups.cursorLog()
  compactCursors = () => this.groups.compactCursors()
  joinGroup = (request: JoinRequest) => this.groups.joinGroup(request)
  groupShare = (membership: Membership) => this.groups.groupShare(membership)
  releasePartitions = (membership: Membership, releases: Release[]) =>
    this.groups.releasePartitions(membership, releases)
  leaveGroup = (membership: Membership) => this.groups.leaveGroup(membership)
  cursorMoved = (event: CursorEvent) => this.groups.cursorMoved(event)

  async topicStats(topic: TopicSlot): Promise<TopicStats> {
    const place = await this.#require(topic)
    this.maintenance.look(place.partitions)
    return topicStatsOf(this.memory, this.#pool, place, await this.groups.stats(place))
  }

  async deleteTopic(name: string): Promise<void> {
    requireNotReserved(name)
    return this.change(name, async () => {
      const { config } = await this.#pool.store({ call: 'get', name })
      const open = this.#topics.get(name)
      this.#topics.delete(name)
      if (open !== undefined) {
        const { partitions } = await open.place
        for (const { slot } of partitions) Atomics.store(this.memory.words, partitionAt(slot) + PARTITION_DELETED_AT, 1)
        for (const { slot } of partitions) signalPartition(this.memory, slot)
        await this.maintenance.forget(partitions.map(({ slot }) => slot))
        this.groups.topicDeleted(name)
        await this.#partitions.close(partitions)
      }
      await this.#pool.store({ call: 'delete', name })
      this.#watermarks.free(config as TopicConfig)
    })
  }

  async trim({ before, partition, ...slot }: TrimRequest): Promise<TrimmedPartition[]> {
    const topic = await this.#require(slot)
    const places = choosePartitions(topic, partition)
    if (typeof before === 'number')
      requireTrimmable(topic, places, before, (slot) => this.#partitions.durable(slot).offset)
    return Promise.all(
      places.map(async ({ partition, slot }) => {
        const first = await this.maintenance.trim(
          slot,
          before === 'end' ? this.#partitions.durable(slot).offset : before,
        )
        return { partition, first, next: this.#partitions.durable(slot).offset }
      }),
    )
  }

  /**
   * Opens a named producer once more. Its new epoch is on the disk before any writer hears of it, and each writer refuses
   * the older ones before this resolves.
   */
  openProducer(request: OpenProducerRequest): Promise<OpenedProducer> {
    return this.#producers.open(request)
  }

  async #openProducers(name: string, requests: readonly OpenProducerRequest[]): Promise<(OpenedProducer | Error)[]> {
    const { partitions } = (await this.#topics.get(name)?.place) ?? { partitions: [] }
    const meant = requests.map(({ slot, partition }) =>
      partitions.filter((place) => partitions[0].slot === slot && (partition ?? place.partition) === place.partition),
    )
    const openings = requests.map(({ name: producer }, index) => ({
      name: producer,
      offsets: partitions.map((place) =>
        meant[index].includes(place) ? this.#partitions.durable(place.slot).offset : null,
      ),
    }))
    const asked = openings.filter((_, index) => meant[index].length > 0)
    if (asked.length === 0) return requests.map(({ topic }) => unknownTopic(topic))
    const { producers, registry } = await this.#pool.store({ call: 'producers', name, openings: asked })
    const answers = producers![Symbol.iterator]()
    return Promise.all(
      requests.map(async ({ topic }, index) => {
        if (meant[index].length === 0) return unknownTopic(topic)
        const answer = answers.next().value!
        if (!('id' in answer)) return decodeError(answer)
        const { id, epoch } = answer
        const lastSequences = partitions.map(() => -1)
        const opening = meant[index].map(async (place) => {
          const since = registry!.since[place.partition]!
          lastSequences[place.partition] = await this.#partitions.openProducer(place, id, epoch, since)
        })
        await Promise.all(opening)
        return { id, epoch, lastSequences }
      }),
    )
  }

  // What this process acknowledges, its readers see at once.
  async refresh(): Promise<void> {}
  async recheck(): Promise<void> {}

  poll(): void {
    this.maintenance.poll()
  }

  fill(request: FillRequest): Promise<FillReply> {
    return this.#pool.fill(request)
  }

  ahead(request: AheadRequest): Promise<boolean> {
    return this.#pool.ahead(request)
  }

  stats(): WalrusStats {
    return this.#partitions.stats()
  }

  /** Settles everything that was accepted and ends all threads. The callers' own producers have been flushed. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { words } = this.memory
    Atomics.store(words, HEADER_STATE_AT, STATE_CLOSING)
    wakeAll(this.memory, this.#partitions.slots)
    await this.#changes.settled()
    await this.maintenance.close()
    await this.#stats?.close()
    try {
      const ends = await this.#partitions.stop()
      Atomics.store(words, HEADER_STATE_AT, STATE_CLOSED)
      wakeAll(this.memory, this.#partitions.slots)
      for (const end of ends) if (end.status === 'rejected') throw end.reason
    } finally {
      await this.#pool.close()
      this.#lock.release()
    }
  }

  /** Runs what changes a topic when no other change of that topic is under way. */
  change<Result>(topic: string, action: () => Promise<Result>): Promise<Result> {
    if (!this.memory.isOpen) return Promise.reject(closedError())
    return this.#changes.run(topic, action)
  }
}

/** What the system says of a path that cannot be, or that this process may not use. */
const NO_DIRECTORY: ReadonlySet<string> = new Set([
  // Of a name below /proc, where nobody can make any.
  'ENOENT',
  'ENOTDIR',
  'EEXIST',
  'EACCES',
  'EPERM',
  'EROFS',
  'ENAMETOOLONG',
  'ELOOP',
])

function noDirectory(directory: string, cause: Error): WalrusError {
  return new WalrusError(
    'INVALID_ARGUMENT',
    `${directory} cannot be made, or used, as a directory (${systemErrorCode(cause)}); name another one, or give this process the right to it`,
    { field: 'directory', cause },
  )
}
