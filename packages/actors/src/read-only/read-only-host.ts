import { promises as files } from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import {
  type CursorEntry,
  isWalrusError,
  type PartitionView,
  type TopicConfig,
  type TopicRequest,
  WalrusError,
  type Watermark,
  watermarkKey,
} from '@walrus-log/core'
import { CURSOR_TOPIC, requireNotReserved } from '../group/cursor-log.js'
import type { JoinRequest, Membership, Share } from '../group/messages.js'
import {
  closedError,
  type LogClient,
  readOnlyError,
  type TopicPlace,
  type TopicSlot,
  type TopicStats,
  unknownTopic,
} from '../log/log-client.js'
import type { LogHost } from '../log/log-host.js'
import { raiseFirstOffset } from '../log/maintenance.js'
import type { FilledOpenOptions } from '../log/options.js'
import { emptyStats, type WalrusStats } from '../log/stats.js'
import { topicStatsOf } from '../log/topic-stats.js'
import { wakeAll } from '../log/wake-all.js'
import {
  HEADER_READ_ONLY_AT,
  HEADER_STATE_AT,
  PARTITION_DELETED_AT,
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITIONS_OPEN_MAX,
  partitionAt,
  STATE_CLOSED,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import { ReaderPool } from '../reader-pool/reader-pool.js'
import type { AheadRequest, FillReply, FillRequest } from '../reader-pool/tasks.js'
import { signalPartition } from '../writer/settlement.js'
import { ReadOnlyGroups } from './read-only-groups.js'
import { WatermarkFollower } from './watermark-follower.js'

/**
 * What the opener of a log with `readOnly` owns: a reader pool, and shared memory like that of a log that writes, whose
 * watermarks it moves by what the writers of another process say. It takes no lock, and changes no file.
 */
export class ReadOnlyHost implements LogHost {
  readonly directory: string
  readonly memory: SharedMemory
  /** Set once, before anything is opened. */
  groups!: ReadOnlyGroups
  readonly #options: FilledOpenOptions
  readonly #pool: ReaderPool
  readonly #follower: WatermarkFollower
  readonly #topics = new Map<string, TopicPlace>()
  #slots = 0
  /** Topics are opened and found to be gone one after the other. */
  #changes: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  private constructor(directory: string, memory: SharedMemory, options: FilledOpenOptions) {
    this.directory = directory
    this.memory = memory
    this.#options = options
    this.#pool = new ReaderPool(directory, this.fileSystem)
    this.#follower = new WatermarkFollower({ directory, onChanged: (name) => this.#onChanged(name) })
    memory.words[HEADER_READ_ONLY_AT] = 1
  }

  /** Throws `INVALID_ARGUMENT` where there is no such directory: none is made. Without the namespace's it is an empty log. */
  static async open(root: string, memory: SharedMemory, options: FilledOpenOptions): Promise<ReadOnlyHost> {
    const directory = path.join(path.resolve(root), options.namespace)
    try {
      await files.readdir(path.resolve(root))
    } catch (cause) {
      throw new WalrusError(
        'INVALID_ARGUMENT',
        `there is no log in ${path.resolve(root)} that could be read; open it once without readOnly`,
        { field: 'directory', cause },
      )
    }
    return new ReadOnlyHost(directory, memory, options)
  }

  /** For the groups, which use the log as all others do. */
  begin(client: LogClient): void {
    this.groups = new ReadOnlyGroups(this, client)
  }

  get fileSystem(): string | undefined {
    return this.#options.fileSystem?.toString()
  }

  async openTopic(name: string, request: TopicRequest): Promise<TopicPlace> {
    requireNotReserved(name)
    return this.#change(async () => {
      const place = await this.#open(name)
      requireUnchanged(place.config, request)
      return place
    })
  }

  /** One that is open stays so, unless another topic has its name by now. */
  async #open(name: string): Promise<TopicPlace> {
    const config = await this.#configOf(name)
    const known = this.#topics.get(name)
    if (known?.config.createdMs === config?.createdMs && known !== undefined) return { ...known, config: config! }
    if (known !== undefined) this.#end(known)
    const { view } = await this.#pool.store({ call: 'view', name, skip: this.#options.recovery === 'skip' })
    const { config: viewed, partitions } = view!
    const place: TopicPlace = {
      config: viewed,
      partitions: partitions.map((view) => ({
        partition: view.partition,
        slot: this.#takeSlot(viewed, view),
        // There is none in this process.
        writer: 0,
        directory: view.directory,
        skip: this.#options.recovery === 'skip',
      })),
    }
    this.#topics.set(name, place)
    return place
  }

  #takeSlot({ name, createdMs }: TopicConfig, { partition, readable, watermark }: PartitionView): number {
    if (this.#slots === PARTITIONS_OPEN_MAX) {
      throw new WalrusError(
        'MAILBOX_FULL',
        `${PARTITIONS_OPEN_MAX} partitions are open already; close the log and open fewer topics`,
      )
    }
    const slot = this.#slots++
    this.#move(slot, readable)
    this.#follower.follow(slot, watermarkKey(name, createdMs, partition), watermark, (moved) =>
      this.#moved(slot, moved),
    )
    return slot
  }

  #move(slot: number, { baseOffset, position, offset, offsetFirst }: Point & { offsetFirst: number }): void {
    const at = partitionAt(slot)
    this.memory.writePoint(at + PARTITION_DURABLE_SELECT_AT, at + PARTITION_DURABLE_AT, baseOffset, position, offset)
    raiseFirstOffset(this.memory, slot, offsetFirst)
  }

  #moved(slot: number, watermark: Watermark): void {
    this.#move(slot, watermark)
    signalPartition(this.memory, slot)
  }

  /** A name in the directory has changed: the topic of that name may be gone. */
  #onChanged(name: string): void {
    if (this.#topics.has(name)) void this.#change(() => this.#requireThere(name)).catch(() => {})
  }

  async #requireThere(name: string): Promise<void> {
    const known = this.#topics.get(name)
    if (known === undefined) return
    try {
      if ((await this.#configOf(name)).createdMs === known.config.createdMs) return
    } catch (error) {
      if (!isWalrusError(error) || error.code !== 'UNKNOWN_TOPIC') throw error
    }
    this.#end(known)
  }

  /** Whoever reads it is told that it was deleted. */
  #end({ config, partitions }: TopicPlace): void {
    this.#topics.delete(config.name)
    for (const { slot } of partitions) {
      this.#follower.unfollow(slot)
      Atomics.store(this.memory.words, partitionAt(slot) + PARTITION_DELETED_AT, 1)
    }
    for (const { slot } of partitions) signalPartition(this.memory, slot)
  }

  async #configOf(name: string): Promise<TopicConfig> {
    return (await this.#pool.store({ call: 'get', name })).config!
  }

  async topics(): Promise<TopicConfig[]> {
    const { topics } = await this.#pool.store({ call: 'list' })
    return topics!.filter(({ name }) => name !== CURSOR_TOPIC)
  }

  async topicStats({ topic, slot }: TopicSlot): Promise<TopicStats> {
    const place = await this.#change(async () => {
      await this.#requireThere(topic)
      const known = this.#topics.get(topic)
      if (known?.partitions[0].slot !== slot) throw unknownTopic(topic)
      return known
    })
    // In this order, so that no cursor is seen to be past the data.
    const groups = await this.groups.stats(place)
    await this.#follower.refresh()
    return topicStatsOf(this.memory, this.#pool, place, groups)
  }

  async refresh(): Promise<void> {
    if (this.#closing === undefined) await this.#follower.refresh()
  }

  /** A read of the topic has failed: finds out whether for a reason that readers are told of. */
  async recheck(topic: string): Promise<void> {
    if (this.#closing !== undefined) return
    await this.#change(() => this.#requireThere(topic))
    const place = this.#topics.get(topic)
    if (place === undefined) return
    await this.#follower.refresh()
    const directories = place.partitions.map(({ directory }) => directory)
    const { offsetsFirst } = await this.#pool.store({ call: 'first-offsets', directories })
    for (const { partition, slot } of place.partitions) {
      raiseFirstOffset(this.memory, slot, offsetsFirst![partition])
    }
  }

  async openCursorTopic(): Promise<TopicPlace | undefined> {
    try {
      const place = await this.#change(() => this.#open(CURSOR_TOPIC))
      await this.#follower.refresh()
      return place
    } catch (error) {
      if (isWalrusError(error) && error.code === 'UNKNOWN_TOPIC') return undefined
      throw error
    }
  }

  async readCursors(directory: string, from: number | undefined, end: number): Promise<CursorEntry[]> {
    await this.#follower.refresh()
    return (await this.#pool.store({ call: 'read-cursors', partitionDirectory: directory, from, end })).cursors ?? []
  }

  async joinGroup(request: JoinRequest): Promise<number> {
    const place = this.#topics.get(request.topic)
    if (place === undefined) throw closedError()
    await this.#follower.refresh()
    return this.groups.join(request, place)
  }

  groupShare = async (membership: Membership): Promise<Share[]> => this.groups.share(membership)
  leaveGroup = async (membership: Membership): Promise<void> => this.groups.leave(membership)
  releasePartitions = async (): Promise<void> => {}
  cursorMoved = async (): Promise<void> => {}

  trimCursors = (): Promise<never> => refuse('shortening the cursor log')
  cursorLog = (): Promise<never> => refuse('moving a cursor')
  compactCursors = (): Promise<never> => refuse('shortening the cursor log')
  deleteTopic = (): Promise<never> => refuse('deleting a topic')
  trim = (): Promise<never> => refuse('trimming a topic')
  openProducer = (): Promise<never> => refuse('opening a producer')

  fill(request: FillRequest): Promise<FillReply> {
    return this.#pool.fill(request)
  }

  ahead(request: AheadRequest): Promise<boolean> {
    return this.#pool.ahead(request)
  }

  poll(): void {}

  stats(): WalrusStats {
    return emptyStats()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#changes.catch(() => {})
    await this.#follower.close()
    Atomics.store(this.memory.words, HEADER_STATE_AT, STATE_CLOSED)
    wakeAll(this.memory, this.#slots)
    await this.#pool.close()
  }

  #change<Result>(action: () => Promise<Result>): Promise<Result> {
    if (this.#closing !== undefined) return Promise.reject(closedError())
    const result = this.#changes.then(action)
    this.#changes = result.catch(() => {})
    return result
  }
}

async function refuse(what: string): Promise<never> {
  throw readOnlyError(what)
}

/** An option that says what the topic has already changes nothing. */
function requireUnchanged(config: TopicConfig, request: TopicRequest): void {
  for (const [name, value] of Object.entries(request) as [keyof TopicRequest, unknown][]) {
    if (value === undefined || isDeepStrictEqual(value, config[name])) continue
    if (name !== 'partitions' && name !== 'codec') throw readOnlyError(`another ${name} for topic ${config.name}`)
    throw new WalrusError(
      'TOPIC_MISMATCH',
      `topic ${JSON.stringify(config.name)} has ${name} ${JSON.stringify(config[name])}, ${JSON.stringify(value)} was asked for; open it without ${name}`,
      { field: name },
    )
  }
}
