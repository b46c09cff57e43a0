import { isMainThread } from 'node:worker_threads'
import { WalrusError } from '@walrus-log/core'
import { ConsumerSession, type Wanted } from '../group/consumer-session.js'
import type { GroupClient, OpenConsumer } from '../group/group-client.js'
import { whenLeft } from '../group/loop-exit.js'
import type { ConsumeFrom } from '../group/messages.js'
import { PARTITION_DELETED_AT, partitionAt } from '../memory/layout.js'
import type { LogRecord } from './batch.js'
import { closedError, type LogClient, type TopicPlace, unknownTopic } from './log-client.js'
import {
  type ConsumeLimits,
  checkConsumeLimits,
  checkSeek,
  type FilledConsumerOptions,
  type SeekOptions,
} from './options.js'
import { type ReadAccess, WatermarkWait } from './reader.js'

/**
 * Reads a topic for a group, record by record, from where the group has got to. Owned by the thread that made it.
 *
 * What a call has given is *in hand* until the next one: `next` (a turn of `for await`), `read`, `commit` and `close`
 * count it as handled, and with that its cursor as to be made durable, in the way that `checkpoint` says. Records of
 * `for await` are views, valid until the consumer's next call; those of `read` and `peek` have memory of their own.
 */
export class Consumer<Value = unknown> implements AsyncIterable<LogRecord<Value>>, OpenConsumer {
  readonly group: string
  readonly #client: LogClient
  readonly #groups: GroupClient
  readonly #topic: TopicPlace
  readonly #options: FilledConsumerOptions
  readonly #session: ConsumerSession<Value>
  readonly #entered: Promise<void>
  #state: 'open' | 'closed' | 'failed' = 'open'
  #failure: unknown
  /** Calls run one after the other; only waiting for more is outside. */
  #work: Promise<unknown> = Promise.resolve()
  #busy = 0
  #wait: { wait: WatermarkWait; generation: number } | undefined
  #waiting: Promise<void> | undefined
  /** A loop was left a moment ago, and it is not known yet whether by an error. */
  #leaving: object | undefined
  #closing: Promise<void> | undefined
  /** It was closed by its user: a loop that waits just ends. */
  #isDone = false
  readonly #onAbort = (): void => this.#stir()

  constructor(
    client: LogClient,
    groups: GroupClient,
    topic: TopicPlace,
    access: ReadAccess,
    group: string,
    options: FilledConsumerOptions,
  ) {
    this.group = group
    this.#client = client
    this.#groups = groups
    this.#topic = topic
    this.#options = options
    this.#session = new ConsumerSession<Value>({
      client,
      groups,
      topic,
      group,
      checkpoint: options.checkpoint,
      from: options.from,
      fs: isMainThread ? undefined : access.fs,
      fileSystem: access.fileSystem,
      requireReadable: () => this.#requireReadable(),
    })
    groups.consumers.add(this)
    options.signal?.addEventListener('abort', this.#onAbort)
    this.#entered = this.#exclusive(() => this.#session.enter(this))
    // Whoever uses the consumer meets the error.
    this.#entered.catch(() => {})
  }

  /**
   * An array of what is there, at once, perhaps empty. Counts what was given before as handled. A number is the most
   * records wanted; `maxBytes` bounds keys and values, but for one record, which is given however large it is. With
   * `{ every }` it gives no more than may be repeated.
   */
  async read(limits?: number | ConsumeLimits): Promise<LogRecord<Value>[]> {
    const wanted = wantedOf(limits)
    return this.#use(async () => {
      await this.#session.settle()
      return this.#session.takeMany(wanted)
    })
  }

  /** What `read` would give now. Moves nothing, and counts nothing as handled. */
  async peek(limits?: number | ConsumeLimits): Promise<LogRecord<Value>[]> {
    const wanted = wantedOf(limits)
    await this.#entered
    return this.#exclusive(async () => {
      this.#requireUsable()
      await this.#session.maybeRebalance()
      return this.#session.peek(wanted)
    })
  }

  /**
   * Counts all that was given as handled, and resolves when that is on the disk. Rejects with `CONSUMER_FENCED` where
   * some of it was given to another consumer of the group before: it is handed out there again.
   */
  async commit(): Promise<void> {
    return this.#use(() => this.#session.commit())
  }

  /**
   * Goes on elsewhere, in all partitions that this consumer has or in one: at the start, at the end, at an offset, or at
   * the first record of a time or later. Makes the cursor durable unless `checkpoint` is `'manual'`.
   */
  async seek(position: ConsumeFrom, options: SeekOptions = {}): Promise<void> {
    const { position: to, partition } = checkSeek(position, options, this.#topic.partitions.length)
    return this.#use(async () => {
      await this.#session.maybeRebalance()
      return this.#session.seek(to, partition)
    })
  }

  /** How many acknowledged records, of the partitions that this consumer has, were not handed out yet. */
  async lag(): Promise<number> {
    await this.#entered
    return this.#exclusive(async () => {
      this.#requireUsable()
      await this.#session.maybeRebalance()
      return this.#session.lag
    })
  }

  /** What was given last is not handled, and is handed out again by the next call. */
  async putBack(): Promise<void> {
    return this.#use(async () => this.#session.putBack())
  }

  /** Counts what was given as handled, makes that durable unless `checkpoint` is `'manual'`, and leaves the group. */
  close(): Promise<void> {
    this.#leaving = undefined
    this.#isDone = true
    this.#closing ??= this.#close(true)
    return this.#closing
  }

  /** For the log, as it closes in this thread: what is in hand is not handled. */
  end(): Promise<void> {
    this.#closing ??= this.#close(false)
    return this.#closing
  }

  /** Like `close`; but where the scope is left by an error on its way out of a loop, what is in hand is not handled. */
  [Symbol.asyncDispose](): Promise<void> {
    if (this.#leaving === undefined) return this.close()
    this.#leaving = undefined
    let tell: (isByThrow: boolean) => void = () => {}
    const told = new Promise<boolean>((resolve) => {
      tell = resolve
    })
    this.#groups.track(told.then((isByThrow) => (isByThrow ? this.end() : this.close())).catch(() => {}))
    return whenLeft(undefined, tell)
  }

  /** Waits for more where there is none, unless `follow` is false. */
  [Symbol.asyncIterator](): AsyncIterator<LogRecord<Value>, undefined> {
    return {
      next: () => this.#nextNow() ?? this.#next(),
      return: () => {
        const leaving = {}
        this.#leaving = leaving
        return whenLeft({ done: true, value: undefined }, (isByThrow) => {
          if (this.#leaving === leaving) this.#loopLeft(isByThrow)
        })
      },
    }
  }

  notice(): void {
    this.#session.notice()
    this.#stir()
  }

  /** The next record where nothing has to be waited for. */
  #nextNow(): Promise<IteratorResult<LogRecord<Value>, undefined>> | undefined {
    if (this.#busy > 0 || this.#state !== 'open' || this.#leaving !== undefined) return undefined
    if (this.#options.signal?.aborted || !this.#isReadable() || !this.#session.trySettle()) return undefined
    const value = this.#session.tryTake()
    return value && Promise.resolve<IteratorYieldResult<LogRecord<Value>>>({ done: false, value })
  }

  async #next(): Promise<IteratorResult<LogRecord<Value>, undefined>> {
    for (;;) {
      const wait = this.#options.follow ? this.#watch() : undefined
      if (this.#isDone) return { done: true, value: undefined }
      const value = await this.#use(async () => {
        await this.#session.settle()
        const record = await this.#session.take()
        // Nothing to do: a good moment to make durable what is handled, which leaves less to be repeated.
        if (record === undefined && this.#options.checkpoint !== 'manual') {
          if (this.#options.follow) this.#session.beginCommit()
          else await this.#session.commitHandled()
        }
        return record
      })
      if (value !== undefined) return { done: false, value }
      if (wait === undefined) return { done: true, value: undefined }
      if (!this.#session.isNoticed && wait.generation === this.#session.generation) await this.#waitOn(wait.wait)
    }
  }

  /** A wait for the partitions that there are, which sees what moves from now on. */
  #watch(): { wait: WatermarkWait; generation: number } {
    const { generation, places } = this.#session
    if (this.#wait?.generation !== generation) {
      this.#wait?.wait.wake()
      this.#wait?.wait.close()
      // Without a partition, one of them stands for the log's end and the topic's.
      const watched = places.length > 0 ? places : this.#topic.partitions.slice(0, 1)
      this.#wait = { wait: new WatermarkWait(this.#client, watched, this.#options.signal), generation }
    }
    if (this.#waiting === undefined) this.#wait.wait.look()
    return this.#wait
  }

  #waitOn(wait: WatermarkWait): Promise<void> {
    if (this.#closing !== undefined || this.#state !== 'open') return Promise.resolve()
    this.#waiting ??= wait.wait().finally(() => {
      this.#waiting = undefined
    })
    return this.#waiting
  }

  /** Something has changed: whoever waits looks again, and what can be done about it without being asked is done. */
  #stir(): void {
    this.#wait?.wait.wake()
    if (this.#busy > 0 || this.#state !== 'open') return
    this.#exclusive(async () => {
      this.#requireUsable()
      // What is in hand may still be handled; the next call finds the signal aborted.
      if (this.#isAborted) this.#requireNotAborted()
      await this.#session.maybeRebalance()
    }).catch(() => {})
  }

  #loopLeft(isByThrow: boolean): void {
    this.#leaving = undefined
    this.#exclusive(async () => {
      if (isByThrow) return this.#session.putBack()
      this.#session.progress.handle()
      if (this.#options.checkpoint !== 'manual') await this.#session.commitHandled()
    }).catch(() => {})
  }

  async #use<Result>(action: () => Promise<Result>): Promise<Result> {
    this.#leaving = undefined
    return this.#exclusive(async () => {
      await this.#entered
      this.#requireUsable()
      this.#requireNotAborted()
      return action()
    })
  }

  async #exclusive<Result>(action: () => Promise<Result>): Promise<Result> {
    this.#busy++
    const result = this.#work.then(action)
    this.#work = result.catch(() => {})
    try {
      return await result
    } finally {
      this.#busy--
      // What came while this call had its turn.
      if (this.#busy === 0 && (this.#session.isNoticed || this.#isAborted)) this.#stir()
    }
  }

  /** It is to end, and nothing is in hand that might still be handled. */
  get #isAborted(): boolean {
    return this.#options.signal?.aborted === true && !this.#session.progress.isInHand()
  }

  #isReadable(): boolean {
    if (this.#client.isClosed) return false
    // All partitions of a topic that is being deleted are marked at once.
    return (
      Atomics.load(this.#client.memory.words, partitionAt(this.#topic.partitions[0].slot) + PARTITION_DELETED_AT) === 0
    )
  }

  #requireReadable(): void {
    if (this.#isReadable()) return
    throw this.#client.isClosed ? closedError() : unknownTopic(this.#topic.config.name)
  }

  /** Throws where the consumer gives nothing more; then it also gives up what it has. */
  #requireUsable(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state === 'closed') throw new WalrusError('CLOSED', 'the consumer is closed; make another one')
    try {
      this.#requireReadable()
    } catch (error) {
      this.#fail(error, false)
      throw error
    }
  }

  /** Throws the signal's reason; what was given before is handled. */
  #requireNotAborted(): void {
    const { signal } = this.#options
    if (!signal?.aborted) return
    this.#session.progress.handle()
    this.#fail(signal.reason, true)
    throw signal.reason
  }

  #fail(error: unknown, isOrderly: boolean): void {
    this.#failure = error
    this.#state = 'failed'
    this.#closing ??= this.#exclusive(() => this.#session.leave(isOrderly, false))
      .catch(() => {})
      .finally(() => this.#release())
  }

  async #close(isHandled: boolean): Promise<void> {
    const wait = this.#wait?.wait
    wait?.wake()
    await this.#entered.catch(() => {})
    try {
      await this.#exclusive(async () => {
        if (this.#state !== 'open') return
        this.#state = 'closed'
        if (isHandled) this.#session.progress.handle()
        else this.#failure = closedError()
        await this.#session.leave(!this.#client.isClosed, isHandled)
      })
    } finally {
      this.#release()
    }
  }

  #release(): void {
    this.#wait?.wait.wake()
    this.#wait?.wait.close()
    this.#wait = undefined
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#groups.consumers.delete(this)
  }
}

function wantedOf(limits: number | ConsumeLimits | undefined): Wanted {
  const { max, maxBytes } = checkConsumeLimits(typeof limits === 'object' ? limits : { max: limits })
  const bytes = maxBytes ?? (max === undefined ? READ_BYTES_DEFAULT : Number.POSITIVE_INFINITY)
  return { records: max ?? Number.POSITIVE_INFINITY, bytes }
}

/** What `read()` gives at most where it is not told: about a window of the reader. */
const READ_BYTES_DEFAULT = 1024 * 1024
