import { checkName, type TopicConfig } from '@walrus-log/core'
import type { GroupClient } from '../group/group-client.js'
import type { Batch } from './batch.js'
import { Consumer } from './consumer.js'
import type { Gap } from './gap.js'
import {
  type LogClient,
  readOnlyError,
  type TopicPlace,
  type TopicSlot,
  type TopicStats,
  type TrimmedPartition,
} from './log-client.js'
import {
  type ConsumerOptions,
  checkConsumerOptions,
  checkProducerOptions,
  checkReadOptions,
  checkTrimOptions,
  type ProducerOptions,
  type ReadOptions,
  type TrimOptions,
} from './options.js'
import { Producer } from './producer.js'
import { type ReadAccess, readTopic } from './reader.js'

/** What a topic's readers need of their thread. */
export interface TopicAccess extends ReadAccess {
  groups: GroupClient
}

/** An open topic, in one thread. `Value` is what its codec takes and gives. */
export class Topic<Value = unknown> {
  readonly name: string
  readonly config: Readonly<TopicConfig>
  readonly #client: LogClient
  readonly #place: TopicPlace
  readonly #access: TopicAccess

  constructor(client: LogClient, place: TopicPlace, access: TopicAccess) {
    this.name = place.config.name
    this.config = Object.freeze({ ...place.config })
    this.#client = client
    this.#place = place
    this.#access = access
  }

  /** Makes a producer for this thread; close it when it is done, or with the log. */
  producer(options: ProducerOptions = {}): Producer<Value> {
    this.#client.requireWritable('a producer')
    const producer = new Producer<Value>(this.#client, this.#place, checkProducerOptions(options), (closed) => {
      this.#client.producers.delete(closed)
    })
    this.#client.producers.add(producer)
    return producer
  }

  /**
   * Reads batches in order within each partition. Without `follow` it ends when all is read that was acknowledged at the
   * call; with it, it waits for more until `signal` is aborted, which rejects with the signal's reason.
   * A batch and its views are valid until the next one is pulled. Where records are missing (see `recovery: 'skip'`) a
   * `Gap` comes in a batch's place, with `gap`, `from` and `to`; iterating it gives no records.
   */
  read(options: ReadOptions = {}): AsyncGenerator<Batch<Value> | Gap, void, undefined> {
    this.#client.requireTaking()
    return readTopic<Value>(this.#client, this.#place, this.#access, checkReadOptions(options))
  }

  /**
   * Forgets the records before an offset, a time (up to the first record that is of that time or later), or all of them;
   * resolves when that is durable. Space is freed in whole segments. Throws `OFFSET_OUT_OF_RANGE` beyond the end.
   */
  async trim(options: TrimOptions): Promise<TrimmedPartition[]> {
    this.#client.requireTaking()
    const { before, partition } = checkTrimOptions(options)
    return this.#client.control.trim({
      ...this.#slot,
      before: before instanceof Date ? { timestampMs: before.getTime() } : before,
      partition,
    })
  }

  /**
   * Makes a consumer of the group in this thread. Consumers of one group share the topic's partitions, whichever threads
   * they are in; groups know nothing of each other. In a log opened with `readOnly` it takes no part in its group: it has
   * all partitions, begins at the group's cursors, and moves none.
   */
  consumer(group: string, options: ConsumerOptions = {}): Consumer<Value> {
    this.#client.requireTaking()
    checkName('group', group)
    const filled = checkConsumerOptions(this.#client.isReadOnly ? withoutCheckpoints(options) : options)
    filled.signal?.throwIfAborted()
    return new Consumer<Value>(this.#client, this.#access.groups, this.#place, this.#access, group, filled)
  }

  async stats(): Promise<TopicStats> {
    this.#client.requireTaking()
    return this.#client.control.topicStats(this.#slot)
  }
  get #slot(): TopicSlot {
    return { topic: this.name, slot: this.#place.partitions[0].slot }
  }
}

/** Where cursors are not moved, nobody may count on it that they are. */
function withoutCheckpoints(options: ConsumerOptions): ConsumerOptions {
  const { checkpoint = 'manual' } = options
  if (checkpoint !== 'manual') throw readOnlyError(`a consumer with checkpoint ${JSON.stringify(checkpoint)}`)
  return { ...options, checkpoint }
}
