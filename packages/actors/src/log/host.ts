import { randomInt } from 'node:crypto'
import path from 'node:path'
import {
  type CursorEntry,
  type DirectoryLock,
  isWalrusError,
  lockDirectory,
  type ProducerRegistry,
  systemErrorCode,
  type TopicConfig,
  type TopicRequest,
  WalrusError,
} from '@walrus-log/core'
import { SupervisedWriter } from '../actor/supervised-writer.js'
import { CURSOR_TOPIC, CURSOR_TOPIC_REQUEST, requireNotReserved } from '../group/cursor-log.js'
import { type GroupHost, GroupService } from '../group/group-service.js'
import type { CursorEvent, JoinRequest, Membership, Release } from '../group/messages.js'
import { LatencySummary } from '../memory/latency-histogram.js'
import {
  COUNTER_BATCHES,
  COUNTER_BYTES,
  COUNTER_RECORDS,
  COUNTER_SYNCS,
  COUNTER_SYNCS_OWN,
  COUNTER_WRITES,
  HEADER_STATE_AT,
  PARTITION_DELETED_AT,
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITION_WORDS,
  PARTITIONS_OPEN_MAX,
  partitionAt,
  STATE_CLOSED,
  STATE_CLOSING,
  WRITER_COUNTERS_AT,
  WRITER_LATENCIES_AT,
  WRITER_SYNC_COUNTERS_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { ReaderPool } from '../reader-pool/reader-pool.js'
import type { AheadRequest, FillReply, FillRequest } from '../reader-pool/tasks.js'
import type { PartitionAssignment } from '../writer/messages.js'
import { encodeRefusal } from '../writer/outcome.js'
import { signalPartition } from '../writer/settlement.js'
import {
  closedError,
  type LogClient,
  type OpenedProducer,
  type OpenProducerRequest,
  type PartitionPlace,
  type TopicPlace,
  type TopicSlot,
  type TopicStats,
  type TrimmedPartition,
  type TrimRequest,
  unknownTopic,
} from './log-client.js'
import type { LogHost } from './log-host.js'
import { Maintenance } from './maintenance.js'
import type { FilledOpenOptions } from './options.js'
import { publishedWriters, StatsPublisher } from './published-stats.js'
import { choosePartitions } from './reader.js'
import type { WalrusStats, WriterStats } from './stats.js'
import { topicStatsOf } from './topic-stats.js'
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
  readonly #watermarks: WatermarkPlaces
  #stats: StatsPublisher | undefined
  readonly #writers: SupervisedWriter[] = []
  readonly #topics = new Map<string, OpenTopic>()
  readonly #slots: { topic: string; partition: number; writer: number }[] = []
  readonly #freeSlots: number[] = []
  /** Calls that change what is open run one after the other. */
  #changes: Promise<unknown> = Promise.resolve()
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
      return new Host(
        directory,
        memory,
        options,
        lock,
        pool,
        new WatermarkPlaces(directory, opened.opening, watermarks!),
      )
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
    return this.change(() => this.#openTopic(name, request))
  }

  /** The topic that has that slot, after all changes of what is open. One of its name that was made later is not meant. */
  #require({ topic, slot }: TopicSlot): Promise<TopicPlace> {
    return this.change(() => this.#opened({ topic, slot }))
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
    const place = this.#openPartitions(config as TopicConfig, registry)
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
      for (const { writer, slot } of place.partitions) await this.#writers[writer].close(slot)
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
    return this.change(async () => {
      const { config } = await this.#pool.store({ call: 'get', name })
      const open = this.#topics.get(name)
      this.#topics.delete(name)
      if (open !== undefined) {
        const { partitions } = await open.place
        for (const { slot } of partitions) Atomics.store(this.memory.words, partitionAt(slot) + PARTITION_DELETED_AT, 1)
        for (const { slot } of partitions) signalPartition(this.memory, slot)
        await this.maintenance.forget(partitions.map(({ slot }) => slot))
        this.groups.topicDeleted(name)
        for (const { slot, writer } of partitions) {
          // The slot is not used again: lanes that still lead to it are refused, and must not reach another topic.
          await this.#writers[writer].close(slot)
        }
      }
      await this.#pool.store({ call: 'delete', name })
      this.#watermarks.free(config as TopicConfig)
    })
  }

  async trim({ before, partition, ...slot }: TrimRequest): Promise<TrimmedPartition[]> {
    const topic = await this.#require(slot)
    const places = choosePartitions(topic, partition)
    if (typeof before === 'number') requireTrimmable(topic, places, before, (slot) => this.#durable(slot).offset)
    return Promise.all(
      places.map(async ({ partition, slot }) => {
        const first = await this.maintenance.trim(slot, before === 'end' ? this.#durable(slot).offset : before)
        return { partition, first, next: this.#durable(slot).offset }
      }),
    )
  }

  /**
   * Opens a named producer once more. Its new epoch is on the disk before any writer hears of it, and each writer refuses
   * the older ones before this resolves.
   */
  openProducer({ topic, slot, name, partition }: OpenProducerRequest): Promise<OpenedProducer> {
    return this.change(async () => {
      const { partitions } = await this.#opened({ topic, slot })
      const isMeant = (place: PartitionPlace): boolean => partition === null || place.partition === partition
      const offsets = partitions.map((place) => (isMeant(place) ? this.#durable(place.slot).offset : null))
      const { producer, registry } = await this.#pool.store({ call: 'producer', name: topic, producer: name, offsets })
      const { id, epoch } = producer!
      const opening = partitions.map((place) => {
        if (!isMeant(place)) return -1
        const since = registry!.since[place.partition]!
        return this.#writers[place.writer].openProducer(place.slot, id, epoch, since)
      })
      return { id, epoch, lastSequences: await Promise.all(opening) }
    })
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
    const { words, doubles } = this.memory
    const all = new LatencySummary()
    const writers = this.#writers.map(({ writer, assignments }): WriterStats => {
      const at = writerAt(writer)
      const own = (at + WRITER_COUNTERS_AT) >>> 1
      const latencies = new LatencySummary()
      latencies.add(words, at + WRITER_LATENCIES_AT)
      all.add(words, at + WRITER_LATENCIES_AT)
      return {
        writer,
        partitions: [...assignments.values()].map(({ topic, partition }) => `${topic}/${partition}`),
        records: doubles[own + COUNTER_RECORDS],
        bytes: doubles[own + COUNTER_BYTES],
        batches: doubles[own + COUNTER_BATCHES],
        writes: doubles[own + COUNTER_WRITES],
        syncs: doubles[own + COUNTER_SYNCS_OWN] + doubles[((at + WRITER_SYNC_COUNTERS_AT) >>> 1) + COUNTER_SYNCS],
        ackLatencyMs: percentiles(latencies),
      }
    })
    const sum = (value: (stats: WriterStats) => number): number =>
      writers.reduce((total, stats) => total + value(stats), 0)
    return {
      writers,
      records: sum(({ records }) => records),
      bytes: sum(({ bytes }) => bytes),
      syncs: sum(({ syncs }) => syncs),
      ackLatencyMs: percentiles(all),
    }
  }

  /** Settles everything that was accepted and ends all threads. The callers' own producers have been flushed. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { words } = this.memory
    Atomics.store(words, HEADER_STATE_AT, STATE_CLOSING)
    wakeAll(this.memory, this.#slots.length)
    await this.#changes.catch(() => {})
    await this.maintenance.close()
    await this.#stats?.close()
    try {
      const ends = await Promise.allSettled(this.#writers.map((writer) => writer.stop()))
      for (const writer of this.#writers) writer.refuseAll(encodeRefusal('closed'))
      Atomics.store(words, HEADER_STATE_AT, STATE_CLOSED)
      wakeAll(this.memory, this.#slots.length)
      for (const end of ends) if (end.status === 'rejected') throw end.reason
    } finally {
      await this.#pool.close()
      this.#lock.release()
    }
  }

  async #openPartitions(config: TopicConfig, registry: ProducerRegistry | undefined): Promise<TopicPlace> {
    const opening: Promise<PartitionPlace>[] = []
    for (let partition = 0; partition < config.partitions; partition++)
      opening.push(this.#openPartition(config, partition, registry))
    const results = await Promise.allSettled(opening)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined)
      return { config, partitions: results.map((result) => (result as PromiseFulfilledResult<PartitionPlace>).value) }
    for (const result of results) {
      if (result.status !== 'fulfilled') continue
      await this.#writers[result.value.writer].close(result.value.slot)
    }
    throw failed.reason
  }

  async #openPartition(
    config: TopicConfig,
    partition: number,
    registry: ProducerRegistry | undefined,
  ): Promise<PartitionPlace> {
    const slot = this.#takeSlot(config.name, partition)
    const writer = this.#chooseWriter()
    this.#slots[slot].writer = writer.writer
    const { segmentBytes, segmentEntries, durability } = config
    const directory = path.join(this.directory, config.name, String(partition))
    const watermark = this.#watermarks.take(config.name, config.createdMs, partition)
    try {
      await writer.open({
        slot,
        topic: config.name,
        partition,
        directory,
        segmentBytes,
        segmentEntries,
        durability,
        recovery: this.#options.recovery,
        watermark,
        producers: namedProducers(registry, partition),
      })
    } catch (error) {
      this.#freeSlots.push(slot)
      throw error
    }
    return { partition, slot, writer: writer.writer, directory, skip: this.#options.recovery === 'skip' }
  }

  /** A new thread as long as there may be one more, else the one with the fewest partitions. */
  #chooseWriter(): SupervisedWriter {
    const alive = this.#writers.filter(({ hasFailed }) => !hasFailed)
    const idle = alive.find(({ load }) => load === 0)
    if (idle !== undefined) return idle
    if (this.#writers.length < this.#options.writerThreadsMax) {
      const writer = new SupervisedWriter({
        memory: this.memory,
        writer: this.#writers.length,
        fileSystem: this.#options.fileSystem,
        filesMax: Math.floor(this.#options.openFilesMax / (2 * this.#options.writerThreadsMax)),
        onEvent: this.#options.onEvent ?? (() => {}),
      })
      this.#writers.push(writer)
      return writer
    }
    return (alive.length > 0 ? alive : this.#writers).reduce((least, writer) =>
      writer.load < least.load ? writer : least,
    )
  }

  #takeSlot(topic: string, partition: number): number {
    const slot = this.#freeSlots.pop() ?? this.#slots.length
    if (slot >= PARTITIONS_OPEN_MAX)
      throw new WalrusError(
        'MAILBOX_FULL',
        `${PARTITIONS_OPEN_MAX} partitions are open already; close the log and open fewer topics`,
      )
    this.#slots[slot] = { topic, partition, writer: -1 }
    this.memory.words.fill(0, partitionAt(slot), partitionAt(slot) + PARTITION_WORDS)
    return slot
  }

  #durable(slot: number): { baseOffset: number; position: number; offset: number } {
    return this.memory.readPoint(
      partitionAt(slot) + PARTITION_DURABLE_SELECT_AT,
      partitionAt(slot) + PARTITION_DURABLE_AT,
    )
  }

  change<Result>(action: () => Promise<Result>): Promise<Result> {
    if (!this.memory.isOpen) return Promise.reject(closedError())
    const result = this.#changes.then(action)
    this.#changes = result.catch(() => {})
    return result
  }
}

/** What a partition's writer is to know of them; undefined where none was ever opened there. */
function namedProducers(registry: ProducerRegistry | undefined, partition: number): PartitionAssignment['producers'] {
  const since = registry?.since[partition] ?? undefined
  if (registry === undefined || since === undefined) return undefined
  return { since, epochs: new Map(Object.values(registry.producers).map(({ id, epoch }) => [id, epoch])) }
}

/** An offset is one partition's: for several, only a time or the end says what is meant. */
function requireTrimmable(
  { config: { name, partitions } }: TopicPlace,
  places: readonly PartitionPlace[],
  before: number,
  nextOf: (slot: number) => number,
): void {
  if (places.length > 1) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `topic ${name} has ${partitions} partitions with offsets of their own; say which one is to be trimmed before ${before}`,
      { field: 'partition' },
    )
  }
  const next = nextOf(places[0].slot)
  if (before <= next) return
  throw new WalrusError(
    'OFFSET_OUT_OF_RANGE',
    `partition ${places[0].partition} of ${name} ends at offset ${next}, it cannot be trimmed before ${before}; trim before ${next} to forget all of it`,
    { next },
  )
}

/** What the system says of a path that cannot be, or that this process may not use. */
const NO_DIRECTORY: ReadonlySet<string> = new Set([
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

function percentiles(latencies: LatencySummary): { p50: number; p99: number; p999: number } {
  return { p50: latencies.percentile(0.5), p99: latencies.percentile(0.99), p999: latencies.percentile(0.999) }
}
