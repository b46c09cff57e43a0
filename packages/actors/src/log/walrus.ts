import { types } from 'node:util'
import {
  type BackupReport,
  checkName,
  type FileSystem,
  ownWords,
  shown,
  type TopicConfig,
  WalrusError,
} from '@walrus-log/core'
import { GroupClient } from '../group/group-client.js'
import type { HostPlace } from '../group/messages.js'
import { ring } from '../lane/doorbell.js'
import {
  CLIENT_DOORBELL_AT,
  CLIENT_LIFE_AT,
  CLIENT_OPEN,
  CLIENT_RING_BYTES_AT,
  CLIENT_RINGS_AT,
  CLIENT_STATE_AT,
  CLIENTS_MAX,
  CONTROL_WORDS,
  clientAt,
  HEADER_ATTACH_SIGNAL_AT,
  HEADER_MAGIC_AT,
  HOST_CLIENT,
  MEMORY_MAGIC,
} from '../memory/layout.js'
import { type SharedBuffers, SharedMemory } from '../memory/shared-memory.js'
import { answerClient, CONTROL_RING_BYTES, type ControlConnection, callHost } from '../message/control-channel.js'
import type { LaneEndpoint } from '../message/lane-endpoint.js'
import { ReadOnlyHost } from '../read-only/read-only-host.js'
import { ReaderPool } from '../reader-pool/reader-pool.js'
import { loadFileSystem } from '../writer/file-system.js'
import { type BackupOptions, runBackup } from './backup.js'
import { Host } from './host.js'
import { type ControlCalls, claimClient, closedError, LogClient, openClient, unknownTopic } from './log-client.js'
import type { LogHost } from './log-host.js'
import { checkOpenOptions, checkTopicOptions, type OpenOptions, type TopicOptions } from './options.js'
import { type PublishedStats, readPublishedStats } from './published-stats.js'
import { type ScanOptions, scanTopic } from './scan.js'
import type { WalrusStats } from './stats.js'
import { Topic } from './topic.js'

/** Where a log is that nobody has named a directory for. */
const DATA_DIRECTORY_DEFAULT = './data'

/** What an attached thread asks of the host; reading is its own business. */
type HostCalls = Omit<ControlCalls, 'fill' | 'ahead'>

/** What another thread needs to take part in an open log. Structured-cloneable: `workerData`, `postMessage`. */
export interface WalrusHandle {
  kind: 'walrus-handle'
  directory: string
  fileSystem: string | undefined
  buffers: SharedBuffers
  host: HostPlace
}

/**
 * An open log, in one thread: the opener's, which owns the lock and the writer threads, or one that is attached to it.
 * All of its methods are for the thread that made it.
 */
export class Walrus {
  readonly directory: string
  readonly #client: LogClient
  readonly #host: LogHost | undefined
  readonly #fs: FileSystem
  readonly #fileSystem: string | undefined
  readonly #connection: Connection | undefined
  readonly #groups: GroupClient
  #hasLeft = false

  private constructor(parts: {
    directory: string
    client: LogClient
    host: LogHost | undefined
    fs: FileSystem
    fileSystem: string | undefined
    groups: GroupClient
    connection?: Connection
  }) {
    this.directory = parts.directory
    this.#client = parts.client
    this.#host = parts.host
    this.#fs = parts.fs
    this.#fileSystem = parts.fileSystem
    this.#connection = parts.connection
    this.#groups = parts.groups
    if (openLogs.size === 0) process.on('beforeExit', settleOpenLogs).on('exit', leaveOpenLogs)
    openLogs.add(this)
  }

  /**
   * Opens the log in `directory`, which is made where there is none, and holds it until `close`. Without a directory or a
   * namespace, the environment's `WALRUS_DATA_DIR` and `WALRUS_INSTANCE_KEY` say which, else `./data` and `default`.
   * With `readOnly` it is neither made nor held: it is read and followed, also beside a process that writes.
   * Throws `LOCKED` (`error.pid`), `INVALID_ARGUMENT` (`error.field`).
   */
  static async open(directory?: string, options: OpenOptions = {}): Promise<Walrus> {
    const filled = checkOpenOptions(options)
    const root = directory ?? (process.env['WALRUS_DATA_DIR'] || DATA_DIRECTORY_DEFAULT)
    checkDirectory(root)
    checkName('namespace', filled.namespace)
    const memory = SharedMemory.allocate(filled.laneBytesMax)
    const host = await (filled.readOnly ? ReadOnlyHost : Host).open(root, memory, filled)
    const client = new LogClient(memory, claimClient(memory), host)
    openClient(memory, client.client)
    const { fileSystem } = filled
    host.begin(client)
    const groups = new GroupClient(client, host.groups.place)
    answerAttachedThreads(client, host)
    const fs = await loadFileSystem(fileSystem)
    return new Walrus({ directory: host.directory, client, host, fs, fileSystem, groups })
  }

  /** Takes part, from another thread, in a log that is open in this process. */
  static async attach(given: WalrusHandle): Promise<Walrus> {
    const handle = takeHandle(given)
    const memory = memoryOf(handle)
    if (!memory.isOpen) throw closedError()
    const number = claimClient(memory)
    const { words } = memory
    const ringsAt = memory.chunks.take(2 * CONTROL_RING_BYTES)
    if (ringsAt < 0)
      throw new WalrusError(
        'MAILBOX_FULL',
        'the memory for lanes is used up; close producers that are not used, or open the log with a larger laneBytesMax',
      )
    words[clientAt(number) + CLIENT_RINGS_AT] = ringsAt
    words[clientAt(number) + CLIENT_RING_BYTES_AT] = CONTROL_RING_BYTES
    const { directory, fileSystem } = handle
    let control: ControlConnection<HostCalls> | undefined
    // A thread of its own reads for an attached thread that asks for it: memory to read into cannot travel in a lane.
    let pool: ReaderPool | undefined
    let isClosing = false
    const read = async <Reply>(ask: (pool: ReaderPool) => Promise<Reply>): Promise<Reply> => {
      if (isClosing) throw closedError()
      pool ??= new ReaderPool(directory, fileSystem)
      try {
        return await ask(pool)
      } catch (error) {
        // A pool that is ended under a read says so in words of its own.
        throw isClosing ? Object.assign(closedError(), { cause: error }) : error
      }
    }
    const client = new LogClient(memory, number, {
      openTopic: (name, request) => control!.calls.openTopic(name, request),
      topics: () => control!.calls.topics(),
      topicStats: (topic) => control!.calls.topicStats(topic),
      deleteTopic: (name) => control!.calls.deleteTopic(name),
      trim: (request) => control!.calls.trim(request),
      openProducer: (request) => control!.calls.openProducer(request),
      refresh: () => control!.calls.refresh(),
      recheck: (topic) => control!.calls.recheck(topic),
      cursorLog: () => control!.calls.cursorLog(),
      compactCursors: () => control!.calls.compactCursors(),
      joinGroup: (request) => control!.calls.joinGroup(request),
      groupShare: (membership) => control!.calls.groupShare(membership),
      releasePartitions: (membership, releases) => control!.calls.releasePartitions(membership, releases),
      leaveGroup: (membership) => control!.calls.leaveGroup(membership),
      cursorMoved: (event) => control!.calls.cursorMoved(event),
      fill: (request) => read((pool) => pool.fill(request)),
      ahead: (request) => read((pool) => pool.ahead(request)),
    })
    control = callHost<HostCalls>(memory, number, client.doorbell, closedError)
    openClient(memory, number)
    Atomics.add(words, HEADER_ATTACH_SIGNAL_AT, 1)
    ring(words, clientAt(HOST_CLIENT) + CLIENT_DOORBELL_AT)
    const connection: Connection = {
      isIdle: control.isIdle,
      close: async () => {
        isClosing = true
        await Promise.all([control.close(), pool?.close()])
      },
      leave: () => memory.chunks.give(ringsAt, 2 * CONTROL_RING_BYTES),
    }
    return new Walrus({
      directory,
      client,
      host: undefined,
      fs: await loadFileSystem(fileSystem),
      fileSystem,
      groups: new GroupClient(client, handle.host),
      connection,
    })
  }

  /** Opens a topic, or creates it. Throws `TOPIC_MISMATCH` where it exists with other partitions or another codec. */
  async topic<Value = unknown>(name: string, options: TopicOptions = {}): Promise<Topic<Value>> {
    this.#client.requireTaking()
    checkName('topic', name)
    const opened = await this.#client.control.openTopic(name, checkTopicOptions(options))
    const place = { ...opened, config: ownWords(opened.config) }
    return new Topic<Value>(this.#client, place, {
      fs: this.#fs,
      fileSystem: this.#fileSystem,
      groups: this.#groups,
    })
  }

  async topics(): Promise<TopicConfig[]> {
    this.#client.requireTaking()
    return this.#client.control.topics()
  }

  /** Removes a topic with all its records. Producers that still send to it are refused with `UNKNOWN_TOPIC`. */
  async deleteTopic(name: string): Promise<void> {
    this.#client.requireTaking()
    checkName('topic', name)
    await this.#client.control.deleteTopic(name)
  }

  /**
   * Copies all that is acknowledged into a log in the directory `target`, which is made where there is none; what is there
   * from a backup before is not copied again. Rejects with `LOCKED` where somebody has that log open, `INVALID_ARGUMENT`
   * where it is no backup of this one's past, `SEGMENT_CORRUPT` where this one is damaged, and the signal's reason.
   */
  async backup(target: string, options: BackupOptions = {}): Promise<BackupReport> {
    this.#client.requireTaking()
    return runBackup(this.directory, target, this.#fileSystem, options)
  }

  /**
   * Reads all that is acknowledged of a topic on several threads, through the function that is the default export of the
   * module at `module`: it is given some batches of one partition at a time (an iterable, which reads as it is walked over,
   * so that memory stays the same however large the topic is), and what it returns is a part of the result. `reduce` makes
   * one of two parts; in which order is left open. Undefined where no part came and there is no `initial`.
   * Rejects with `SCAN_FAILED` where the function fails (`cause`: its own error), `UNKNOWN_TOPIC`, `SEGMENT_CORRUPT`,
   * `OFFSET_OUT_OF_RANGE` where records are forgotten before they are read, and the signal's reason.
   */
  async scan<Part>(
    topic: string | Topic<unknown>,
    module: URL | string,
    options: ScanOptions<Part>,
  ): Promise<Part | undefined> {
    this.#client.requireTaking()
    const { control } = this.#client
    const name = topic instanceof Topic ? topic.name : topic
    const known = (await control.topics()).find((config) => config.name === name)
    if (known === undefined) throw noTopic(name)
    // A topic that was made again under the name is not meant.
    if (topic instanceof Topic && known.createdMs !== topic.config.createdMs) throw unknownTopic(name)
    const place = await control.openTopic(name, {})
    return scanTopic(this.#client, place, { fileSystem: this.#fileSystem }, module, options)
  }

  /** Counters of all writers since the log was opened. For the opener's thread. */
  stats(): WalrusStats {
    if (this.#host === undefined)
      throw new WalrusError('INVALID_ARGUMENT', 'stats() is for the thread that opened the log; call it there', {
        field: 'thread',
      })
    return this.#host.stats()
  }

  /**
   * What the process that writes has said of its threads within the last second or so, also in a log opened with `readOnly`;
   * undefined where none writes.
   */
  async publishedStats(): Promise<PublishedStats | undefined> {
    this.#client.requireTaking()
    return readPublishedStats(this.directory)
  }

  /** For another thread of this process: `Walrus.attach(handle)`. Valid until the log is closed. */
  handle(): WalrusHandle {
    this.#client.requireTaking()
    return {
      kind: 'walrus-handle',
      directory: this.directory,
      fileSystem: this.#fileSystem,
      buffers: this.#client.memory.buffers,
      host: this.#groups.place,
    }
  }

  /**
   * In the opener's thread: settles everything that any thread has sent, ends all threads, and lets the directory go. In
   * an attached thread: settles what this thread has sent, and takes no part any more. Rejects where something sent was
   * refused; the log is closed all the same.
   */
  async close(): Promise<void> {
    openLogs.delete(this)
    if (openLogs.size === 0) process.off('beforeExit', settleOpenLogs).off('exit', leaveOpenLogs)
    this.#client.beginClosing()
    let refusal: unknown
    // Consumers commit what is handled, for which they need the log.
    await this.#groups.close()
    this.#host?.groups.close()
    if (!this.#client.isClosed) {
      const results = await Promise.allSettled([...this.#client.producers].map((producer) => producer.close()))
      refusal = results.find((result) => result.status === 'rejected')?.reason
    }
    try {
      await this.#host?.close()
      await this.#connection?.close()
    } finally {
      this.#leave()
    }
    if (refusal !== undefined) throw refusal
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Gives back what an attached thread has, as it ends without `close`; what it has under way stays where it is. */
  leave(): void {
    if (this.#connection === undefined || !this.#connection.isIdle()) return
    for (const producer of this.#client.producers) producer.leave()
    this.#leave()
  }

  #leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    this.#client.close()
    this.#connection?.leave()
  }

  /** Settles what this thread has sent and has not been settled, so that the process stays alive until it is. */
  settle(): void {
    if (this.#client.isClosed) return
    for (const producer of this.#client.producers) if (producer.hasUnsettled) void producer.flush().catch(() => {})
  }
}

function noTopic(name: string): WalrusError {
  return new WalrusError(
    'UNKNOWN_TOPIC',
    `there is no topic ${JSON.stringify(name)}; create it, or look at the list of topics`,
  )
}

/** An attached thread's control lanes to the host. */
interface Connection {
  isIdle(): boolean
  close(): Promise<void>
  /** Gives back the lanes' memory; nobody calls any more, and all calls are answered. */
  leave(): void
}

/** Logs of this thread that are not closed. */
const openLogs = new Set<Walrus>()

function leaveOpenLogs(): void {
  for (const walrus of openLogs) walrus.leave()
}

/** A process that ends without `close` still settles what it has sent: that keeps it alive a moment longer. */
function settleOpenLogs(): void {
  for (const walrus of openLogs) walrus.settle()
}

/** A log's memory is mapped once a thread, however often the thread attaches. */
const memories = new WeakMap<SharedArrayBuffer, SharedMemory>()

function memoryOf(handle: WalrusHandle): SharedMemory {
  const known = memories.get(handle.buffers.control)
  if (known !== undefined) return known
  const memory = new SharedMemory(handle.buffers)
  if (memory.words[HEADER_MAGIC_AT] !== MEMORY_MAGIC) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      'the handle comes from another version of this package; use one version in all threads',
      { field: 'handle' },
    )
  }
  memories.set(handle.buffers.control, memory)
  return memory
}

/** The handle's parts, each read once. Throws `INVALID_ARGUMENT` unless it is one. */
function takeHandle(handle: WalrusHandle): WalrusHandle {
  let cause: unknown
  try {
    const { kind, directory, fileSystem, buffers, host } = handle
    const { control, arena } = buffers
    const { thread, log } = host
    const isHandle =
      kind === 'walrus-handle' &&
      typeof directory === 'string' &&
      (fileSystem === undefined || typeof fileSystem === 'string') &&
      types.isSharedArrayBuffer(control) &&
      control.byteLength === CONTROL_WORDS * 4 &&
      types.isSharedArrayBuffer(arena instanceof SharedArrayBuffer ? arena : arena.buffer) &&
      Number.isSafeInteger(thread) &&
      Number.isSafeInteger(log)
    if (isHandle) return { kind, directory, fileSystem, buffers: { control, arena }, host: { thread, log } }
  } catch (error) {
    cause = error
  }
  throw new WalrusError('INVALID_ARGUMENT', 'attach() takes what handle() gave in the thread that opened the log', {
    field: 'handle',
    cause,
  })
}

function checkDirectory(directory: unknown): asserts directory is string {
  if (typeof directory === 'string' && directory !== '' && !directory.includes('\0')) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `the directory of a log is a path, ${shown(directory)} was given; leave it out for ${DATA_DIRECTORY_DEFAULT}`,
    { field: 'directory' },
  )
}

/** The host's part: whenever its doorbell rings, new clients are taken notice of and everybody's calls are answered. */
function answerAttachedThreads(client: LogClient, host: LogHost): void {
  const { memory } = client
  const endpoints = new Map<number, { life: number; endpoint: LaneEndpoint }>()
  let attachSeen = 0
  client.doorbell.listen({
    poll() {
      host.poll()
      const attached = Atomics.load(memory.words, HEADER_ATTACH_SIGNAL_AT)
      if (attached !== attachSeen) {
        attachSeen = attached
        for (let number = HOST_CLIENT + 1; number < CLIENTS_MAX; number++) takeNotice(number)
      }
      for (const [number, { life, endpoint }] of endpoints) {
        // Another thread may have the slot by now, and other memory for its lanes.
        if (memory.words[clientAt(number) + CLIENT_LIFE_AT] === life) endpoint.poll()
      }
      return true
    },
  })

  function takeNotice(number: number): void {
    const at = clientAt(number)
    const life = memory.words[at + CLIENT_LIFE_AT]
    if (Atomics.load(memory.words, at + CLIENT_STATE_AT) !== CLIENT_OPEN) endpoints.delete(number)
    else if (endpoints.get(number)?.life !== life)
      endpoints.set(number, { life, endpoint: answerClient(memory, number, host) })
  }
}
