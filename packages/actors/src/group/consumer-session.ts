import { type Checkpoint, ConsumerProgress, type FileSystem, type GapReason } from '@walrus-log/core'
import type { LogRecord } from '../log/batch.js'
import { CODECS } from '../log/codec.js'
import type { Gap } from '../log/gap.js'
import {
  type LogClient,
  type PartitionPlace,
  readFirstOffset,
  readOnlyError,
  type TopicPlace,
} from '../log/log-client.js'
import { PartitionReader } from '../log/partition-reader.js'
import { highWatermark } from '../log/reader.js'
import { AssignedPartition } from './assigned-partition.js'
import { Committer } from './committer.js'
import { fenced, requireOffset } from './consumer-group.js'
import type { GroupClient, OpenConsumer } from './group-client.js'
import type { ConsumeFrom, CursorEvent, Membership, Release } from './messages.js'
import { offsetOfTime } from './offset-of-time.js'

export interface SessionOptions {
  client: LogClient
  groups: GroupClient
  topic: TopicPlace
  group: string
  checkpoint: Checkpoint
  from: ConsumeFrom
  fs: FileSystem | undefined
  fileSystem: string | undefined
  /** Throws where there is nothing to be read any more: the topic is deleted, the log closed. */
  requireReadable: () => void
}

/** How much is wanted at once. */
export interface Wanted {
  records: number
  /** Of keys and values; one record is given however large it is. */
  bytes: number
}

/**
 * A consumer's part in its group: what it has, what it handed out, what it committed. One call at a time, which is its
 * owner's business. A partition is given up when nothing of it is in hand, and after what was handled of it is durable.
 */
export class ConsumerSession<Value> {
  readonly progress: ConsumerProgress
  readonly #options: SessionOptions
  /** By number. */
  readonly #partitions: AssignedPartition<Value>[] = []
  #membership: Membership | undefined
  #committer: Committer | undefined
  #isNoticed = false
  /** Something is left to be taken over or given up, which is tried when more is asked for. */
  #isOwing = false
  #turn = 0
  /** Moves whenever partitions come or go. */
  generation = 0

  constructor(options: SessionOptions) {
    this.#options = options
    this.progress = new ConsumerProgress(options.checkpoint)
  }

  get isNoticed(): boolean {
    return this.#isNoticed
  }

  get places(): PartitionPlace[] {
    return this.#partitions.map(({ place }) => place)
  }

  notice(): void {
    this.#isNoticed = true
  }

  /** Joins the group. `consumer` is told when what it has was changed. */
  async enter(consumer: OpenConsumer): Promise<void> {
    const { client, groups, topic, group, from } = this.#options
    await groups.ended()
    await groups.link()
    const { name, createdMs } = topic.config
    if (!client.isReadOnly) {
      this.#committer = new Committer(this.progress, await groups.writer(), { group, topic: name, createdMs })
    }
    const member = await client.control.joinGroup({
      client: client.client,
      life: groups.life,
      group,
      topic: name,
      createdMs,
      from,
    })
    this.#membership = { group, topic: name, member }
    groups.listen(member, consumer)
    // Notices before this line were heard by nobody.
    this.#isNoticed = true
    await this.maybeRebalance()
  }

  /** Takes over what the host changed. What has records in hand stays until these are handled. */
  async maybeRebalance(): Promise<void> {
    const isWanted = this.#isNoticed || this.#isOwing
    this.#isNoticed = false
    if (this.#membership === undefined || !isWanted) return
    this.#isOwing = true
    await this.#rebalance(this.#membership)
  }

  async #rebalance(membership: Membership): Promise<void> {
    const { control } = this.#options.client
    const shares = await control.groupShare(membership)
    const shareOf = new Map(shares.map((share) => [share.partition, share]))
    const releases: Release[] = []
    let isOwing = false
    for (const partition of [...this.#partitions]) {
      const number = partition.place.partition
      const share = shareOf.get(number)
      if (share?.generation !== partition.generation) this.#drop(partition)
      else if (!share.isRevoked) continue
      else if (this.progress.isInHand(number)) isOwing = true
      else releases.push({ partition: number, generation: partition.generation })
    }
    for (const { partition, generation, isRevoked } of shares) {
      // Given and taken away again before this looked.
      if (isRevoked && !this.#has(partition)) releases.push({ partition, generation })
    }
    if (releases.length > 0) {
      if (this.#options.checkpoint !== 'manual') await this.commitHandled()
      for (const { partition } of releases) if (this.#has(partition)) this.#drop(this.#has(partition)!)
      await control.releasePartitions(membership, releases)
    }
    for (const { partition, generation, offset, isRevoked } of shares) {
      if (isRevoked || this.#has(partition)) continue
      const place = this.#options.topic.partitions[partition]
      const onGap = ({ gap, from, to }: Gap): void => this.#tellMoved(partition, gap, from, to)
      this.#partitions.push(new AssignedPartition(place, generation, offset, (at) => this.#read(place, at), onGap))
      this.progress.assign(partition, generation, offset)
      this.generation++
    }
    this.#partitions.sort((left, right) => left.place.partition - right.place.partition)
    this.#isOwing = isOwing
  }

  /** More is asked for: what was handed out is handled. Resolves when the next record may be handed out. */
  async settle(): Promise<void> {
    this.progress.handle()
    await this.maybeRebalance()
    if (this.progress.isCommitDue) this.beginCommit()
    while (this.progress.mayHandOut === 0) await this.#committer!.next()
  }

  /** The same where nothing has to be waited for; false, and nothing done, where something has. */
  trySettle(): boolean {
    if (this.#isNoticed || this.#isOwing || this.#options.checkpoint === 'each') return false
    this.progress.handle()
    if (this.progress.isCommitDue) this.beginCommit()
    return this.progress.mayHandOut > 0
  }

  /** Hands out the next record if it is in memory; a view, valid until the next call. */
  tryTake(): LogRecord<Value> | undefined {
    const partition = this.#partitions[this.#turn]
    const record = partition?.current()
    if (record !== undefined) this.#handOut(partition, record)
    return record
  }

  /** Hands out the next record; undefined where there is none now. */
  async take(): Promise<LogRecord<Value> | undefined> {
    const record = this.tryTake()
    if (record !== undefined) return record
    const count = this.#partitions.length
    for (let step = 0; step < count; step++) {
      // A partition has its turn for as long as it has something in memory: then the others are asked first.
      this.#turn = (this.#turn + 1) % count
      const partition = this.#partitions[this.#turn]
      const next = await this.#find(partition, () => partition.current())
      if (next === undefined) continue
      this.#handOut(partition, next)
      return next
    }
    return undefined
  }

  /** Hands out what is there, in memory of its own. */
  async takeMany(wanted: Wanted): Promise<LogRecord<Value>[]> {
    const records: LogRecord<Value>[] = []
    const count = this.#partitions.length
    const left = { records: Math.min(wanted.records, this.progress.mayHandOut), bytes: wanted.bytes }
    for (let step = 0; step < count; step++) {
      const partition = this.#partitions[this.#turn % count]
      const isFull = await this.#gather(partition, left, records, (record) => this.#handOut(partition, record))
      if (isFull) return records
      this.#turn = (this.#turn + 1) % count
    }
    return records
  }

  /** Shows what `takeMany` would hand out, and moves nothing. */
  async peek(wanted: Wanted): Promise<LogRecord<Value>[]> {
    const records: LogRecord<Value>[] = []
    const count = this.#partitions.length
    const left = { records: Math.min(wanted.records, this.progress.mayHandOutNext), bytes: wanted.bytes }
    for (let step = 0; step < count; step++) {
      if (await this.#look(this.#partitions[(this.#turn + step) % count], left, records)) break
    }
    return records
  }

  /** Adds the next records of a partition without taking them, until `left` is used up; returns whether it is. */
  async #look(partition: AssignedPartition<Value>, left: Wanted, records: LogRecord<Value>[]): Promise<boolean> {
    const begun = { ...left, taken: records.length }
    for (let place = 0; left.records > 0; ) {
      const batch = partition.batchAt(place)
      if (batch === undefined) {
        if (!partition.hasUnread) return false
        if (await this.#fill(partition)) continue
        // What was looked at is forgotten by now, and the partition goes on elsewhere.
        Object.assign(left, { records: begun.records, bytes: begun.bytes })
        records.length = begun.taken
        place = 0
        continue
      }
      const next = this.progress.next(partition.place.partition)
      for (const record of batch) {
        if (record.offset < next) continue
        if (!isWithin(left, record, records.length)) return true
        records.push(record)
      }
      place++
    }
    return true
  }

  /** Goes on elsewhere in the partitions that this consumer has. Throws `OFFSET_OUT_OF_RANGE` before anything moves. */
  async seek(position: ConsumeFrom, partition: number | undefined): Promise<void> {
    this.progress.handle()
    const targets: { partition: AssignedPartition<Value>; offset: number }[] = []
    for (const has of this.#partitions) {
      if (partition !== undefined && has.place.partition !== partition) continue
      targets.push({ partition: has, offset: await this.#offsetOf(has.place, position) })
    }
    for (const { partition: has, offset } of targets) {
      has.seek(offset)
      this.progress.seek(has.place.partition, offset)
    }
    if (this.#options.checkpoint !== 'manual') await this.commitHandled()
  }

  get lag(): number {
    return this.#partitions.reduce((sum, { lag }) => sum + lag, 0)
  }

  /** What is in hand is not handled: it will be handed out again. */
  putBack(): void {
    for (const number of this.progress.putBack()) {
      this.#has(number)?.seek(this.progress.next(number))
    }
  }

  /** Begins to make durable what is handled, unless that is being done. */
  beginCommit(): void {
    this.#committer?.begin()
  }

  /** Resolves when all that is handled is durable. */
  async commitHandled(): Promise<void> {
    await this.#committer?.all()
  }

  /** The same for all that was handed out. Throws `CONSUMER_FENCED` where some of it is another member's by now. */
  async commit(): Promise<void> {
    if (this.#options.client.isReadOnly) throw readOnlyError('moving a cursor')
    this.progress.handle()
    await this.commitHandled()
    if (this.progress.takeLost()) throw fenced(this.#options.group)
  }

  /**
   * Gives up everything. With `isOrderly`, what is handled is committed before, and the group is told; with `isFree`, no
   * view that was handed out is valid any more.
   */
  async leave(isOrderly: boolean, isFree: boolean): Promise<void> {
    try {
      if (isOrderly && this.#membership !== undefined && this.#options.checkpoint !== 'manual') {
        await this.commitHandled()
      }
    } finally {
      for (const partition of [...this.#partitions]) this.#drop(partition, isFree)
      const membership = this.#membership
      this.#membership = undefined
      if (membership !== undefined) {
        this.#options.groups.unlisten(membership.member)
        if (isOrderly) await this.#options.client.control.leaveGroup(membership)
      }
    }
  }

  #has(number: number): AssignedPartition<Value> | undefined {
    return this.#partitions.find(({ place }) => place.partition === number)
  }

  #handOut(partition: AssignedPartition<Value>, record: LogRecord<Value>): void {
    partition.advance()
    this.progress.handOut(partition.place.partition, record.offset + 1, 1)
  }

  /** Adds records of one partition until `left` is used up; returns whether it is. */
  async #gather(
    partition: AssignedPartition<Value>,
    left: Wanted,
    records: LogRecord<Value>[],
    onTaken: (record: LogRecord<Value>) => void,
  ): Promise<boolean> {
    while (left.records > 0) {
      const record = await this.#find(partition, () => partition.currentOwned())
      if (record === undefined) return false
      if (!isWithin(left, record, records.length)) return true
      records.push(record)
      onTaken(record)
    }
    return true
  }

  /** The next record of a partition, which is brought into memory where it is not there. */
  async #find(
    partition: AssignedPartition<Value>,
    current: () => LogRecord<Value> | undefined,
  ): Promise<LogRecord<Value> | undefined> {
    for (;;) {
      const record = current()
      if (record !== undefined) return record
      if (!partition.hasMore) return undefined
      await this.#fill(partition)
    }
  }

  /** Returns whether the partition goes on where it was; it does not where what came next is trimmed away. */
  async #fill(partition: AssignedPartition<Value>): Promise<boolean> {
    if (this.#skipTrimmed(partition)) return false
    try {
      await partition.fill()
      return true
    } catch (error) {
      const { client, topic } = this.#options
      if (client.isReadOnly) await client.control.recheck(topic.config.name)
      // Files that are gone with their topic, or with the log's threads, are no damage.
      this.#options.requireReadable()
      if (!this.#skipTrimmed(partition)) throw error
      return false
    }
  }

  /** Where the next record does not exist any more, goes on with the first that does, and says so. */
  #skipTrimmed(partition: AssignedPartition<Value>): boolean {
    const { client } = this.#options
    const { place } = partition
    const from = this.progress.next(place.partition)
    const to = readFirstOffset(client.memory, place.slot)
    if (from >= to) return false
    partition.seek(to)
    this.progress.seek(place.partition, to)
    this.#tellMoved(place.partition, 'trimmed', from, to)
    return true
  }

  #tellMoved(partition: number, reason: GapReason, from: number, to: number): void {
    const { client, topic, group } = this.#options
    const event: CursorEvent = { type: 'cursor-moved', reason, topic: topic.config.name, partition, group, from, to }
    void client.control.cursorMoved(event).catch(() => {})
  }

  async #offsetOf(place: PartitionPlace, position: ConsumeFrom): Promise<number> {
    const { client, topic, fileSystem } = this.#options
    const first = readFirstOffset(client.memory, place.slot)
    const next = highWatermark(client, place)
    if (position === 'start') return first
    if (position === 'end') return next
    const { partition } = place
    if (typeof position !== 'number') {
      return offsetOfTime(client, topic, { partition, timestampMs: position.getTime(), fileSystem })
    }
    requireOffset(position, partition, first, next)
    return position
  }

  #read(place: PartitionPlace, offset: number): PartitionReader<Value> {
    const { client, topic, fs, fileSystem } = this.#options
    const offsetEnd = Number.POSITIVE_INFINITY
    return new PartitionReader<Value>(
      client,
      place,
      CODECS[topic.config.codec],
      { offset },
      { fs, fileSystem, offsetEnd },
    )
  }

  /** Views of what was handed out before stay valid where it is not the consumer's user who wants it. */
  #drop(partition: AssignedPartition<Value>, isFree = false): void {
    partition.close(isFree)
    this.progress.revoke(partition.place.partition)
    this.#partitions.splice(this.#partitions.indexOf(partition), 1)
    this.#turn = 0
    this.generation++
  }
}

/** Whether a record is still wanted; then it is taken off what is `left`. The first one always is. */
function isWithin<Value>(left: Wanted, { bytes, key }: LogRecord<Value>, taken: number): boolean {
  if (left.records <= 0) return false
  left.bytes -= (bytes?.length ?? 0) + (key?.length ?? 0)
  if (left.bytes < 0 && taken > 0) return false
  left.records--
  return true
}
