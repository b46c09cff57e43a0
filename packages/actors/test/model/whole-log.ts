import { expect } from 'vitest'
import { type Producer, type Topic, Walrus, type WalrusEvent } from '#actors/index.js'
import { errorOf, readAll } from '../log/fixture.js'

interface Sent {
  value: string
  timestamp: number
}

interface NameModel {
  partition: number
  /** Offsets by sequence. */
  offsets: number[]
  values: string[]
  holder: Producer<string> | undefined
}

/** What a topic has to hold, in plain memory. */
export interface TopicInUse {
  topic: Topic<string>
  partitions: { records: Sent[]; first: number }[]
  names: Map<string, NameModel>
  /** Committed offsets by `group/partition`. */
  cursors: Map<string, number>
}

const ended = (end: () => void): ((event: WalrusEvent) => void) => {
  return ({ type }) => {
    if (type === 'writer-restarted') end()
  }
}

/**
 * A log with all its threads beside a model of it. Each step awaits what it began, so that a story depends on no timing; what
 * runs at once within a step may come in any order, and the acknowledgements say in which it came.
 */
export class WholeLog {
  readonly topics = new Map<string, TopicInUse>()
  readonly #directory: string
  readonly #alive: () => { terminate(): Promise<number> }[]
  #walrus: Walrus | undefined
  #onRestart: (() => void) | undefined
  #deaths = 0
  #count = 0

  /** `alive`: the log's threads that write and sync. */
  constructor(directory: string, alive: () => { terminate(): Promise<number> }[]) {
    this.#directory = directory
    this.#alive = alive
  }

  async open(): Promise<void> {
    const onEvent = ended(() => this.#onRestart?.())
    this.#walrus = await Walrus.open(this.#directory, { durability: 'disk', writerThreadsMax: 2, onEvent })
    this.#deaths = 0
    const configs = await this.#walrus.topics()
    expect(configs.map(({ name }) => name).sort()).toEqual([...this.topics.keys()].sort())
    for (const [name, used] of this.topics) {
      used.topic = await this.#walrus.topic<string>(name)
      for (const named of used.names.values()) named.holder = undefined
      await this.checkAll(used)
    }
  }

  /** Closes; a log that is closed leaves nothing that anybody waits for. */
  async close(): Promise<void> {
    await this.#walrus?.close()
    this.#walrus = undefined
  }

  async create(name: string, partitions: number): Promise<void> {
    if (this.topics.has(name)) return
    const topic = await this.#walrus!.topic<string>(name, { codec: 'utf8', partitions, segmentBytes: 4096 })
    const models = Array.from({ length: partitions }, () => ({ records: [], first: 0 }))
    this.topics.set(name, { topic, partitions: models, names: new Map(), cursors: new Map() })
  }

  async delete(name: string): Promise<void> {
    await this.#walrus!.deleteTopic(name)
    this.topics.delete(name)
  }

  value(bytes: number): string {
    return `${this.#count++}:${'x'.repeat(bytes)}`
  }

  /** Several producers at once, each with a few records and a batch: the model takes them as they were acknowledged. */
  async append({ topic, partitions }: TopicInUse, partition: number, producers: number, bytes: number): Promise<void> {
    const { records } = partitions[partition]
    const next = records.length
    const jobs = Array.from({ length: producers }, async () => {
      const producer = topic.producer({ partition })
      const values = [this.value(bytes), this.value(0), this.value(bytes)]
      const timestamp = 1000 + ((this.#count * 7) % 50)
      const single = producer.append(values[0], { timestamp })
      const acks = [await single, ...(await producer.appendBatch(values.slice(1), { timestamp }))]
      await producer.close()
      const offsets = acks.map(({ offset }) => offset)
      expect(offsets).toEqual([...offsets].sort((left, right) => left - right))
      for (const [index, offset] of offsets.entries()) records[offset] = { value: values[index], timestamp }
    })
    await Promise.all(jobs)
    expect(records.length).toBe(next + 3 * producers)
    for (let offset = next; offset < records.length; offset++) expect(records[offset]).toBeDefined()
  }

  /** Opens a name; who had it before is fenced. */
  async openName({ topic, partitions, names }: TopicInUse, name: string, partition: number): Promise<void> {
    const known = names.get(name) ?? { partition, offsets: [], values: [], holder: undefined }
    names.set(name, known)
    const before = known.holder
    const producer = topic.producer({ producerId: name, partition: known.partition })
    await producer.ready()
    expect(producer.lastSequence).toBe(known.offsets.length - 1)
    known.holder = producer
    if (before === undefined) return
    expect(await errorOf(before.append(this.value(0)))).toMatchObject({ code: 'PRODUCER_FENCED' })
    await before.close().catch(() => {})
    expect(partitions[known.partition].records.length).toBeGreaterThanOrEqual(known.offsets.length)
  }

  /** Sends the next records of a name, and some of those before once more. */
  async send({ partitions, names }: TopicInUse, name: string, count: number, again: number): Promise<void> {
    const known = names.get(name)
    if (known?.holder === undefined) return
    const { records } = partitions[known.partition]
    const first = known.offsets.length
    const from = Math.max(first - again, 0)
    for (let sequence = from; sequence < first; sequence++) {
      const { offset } = await known.holder.append(known.values[sequence], { sequence })
      // Of what was long ago it is only known that it is there.
      if (first - sequence <= 16) expect(offset).toBe(known.offsets[sequence])
    }
    const values = Array.from({ length: count }, () => this.value(10))
    const timestamp = 1010
    const acks = await known.holder.appendBatch(values, { timestamp })
    for (const [index, { offset }] of acks.entries()) {
      expect(offset).toBe(records.length)
      records.push({ value: values[index], timestamp })
      known.offsets.push(offset)
      known.values.push(values[index])
    }
  }

  async checkAll(used: TopicInUse): Promise<void> {
    for (const partition of used.partitions.keys()) await this.read(used, partition, 0)
  }

  /** Reads one partition from a share of a thousand of it on. */
  async read({ topic, partitions }: TopicInUse, partition: number, share: number): Promise<void> {
    const { records, first } = partitions[partition]
    const from = first + Math.floor(((records.length - first) * share) / 1000)
    const found = await readAll(topic, { partition, from })
    expect(found.map(({ offset, value, timestamp }) => ({ offset, value, timestamp }))).toEqual(
      records.slice(from).map((record, index) => ({ offset: from + index, ...record })),
    )
  }

  async readByTime({ topic, partitions }: TopicInUse, partition: number, timestampMs: number): Promise<void> {
    const { records, first } = partitions[partition]
    const found = await readAll(topic, { partition, from: new Date(timestampMs) })
    const expected = records.findIndex(({ timestamp }, offset) => offset >= first && timestamp >= timestampMs)
    expect(found[0]?.offset ?? -1).toBe(expected)
  }

  async trim({ topic, partitions }: TopicInUse, partition: number, share: number): Promise<void> {
    const model = partitions[partition]
    const before = model.first + Math.floor(((model.records.length - model.first) * share) / 1000)
    expect(await topic.trim({ partition, before })).toEqual([{ partition, first: before, next: model.records.length }])
    model.first = before
  }

  /** A group goes on where it was, handles some records, and commits. */
  async consume(used: TopicInUse, group: string, count: number): Promise<void> {
    const { topic, partitions, cursors } = used
    const consumer = topic.consumer(group, { checkpoint: 'manual', follow: false })
    expect(await consumer.lag()).toBe(this.#lag(used, group))
    const records = await consumer.read(count)
    const next = new Map<number, number>()
    for (const { partition, offset, value } of records) {
      const expected = next.get(partition) ?? this.#cursor(used, group, partition)
      expect([offset, value]).toEqual([expected, partitions[partition].records[expected].value])
      next.set(partition, expected + 1)
    }
    await consumer.commit()
    for (const [partition, offset] of next) cursors.set(`${group}/${partition}`, offset)
    expect(await consumer.lag()).toBe(this.#lag(used, group))
    await consumer.close()
  }

  async seek(used: TopicInUse, group: string, position: 'start' | 'end'): Promise<void> {
    const { topic, partitions, cursors } = used
    const consumer = topic.consumer(group, { checkpoint: 'manual', follow: false })
    await consumer.seek(position)
    await consumer.commit()
    for (const [partition, { records, first }] of partitions.entries()) {
      cursors.set(`${group}/${partition}`, position === 'start' ? first : records.length)
    }
    expect(await consumer.lag()).toBe(this.#lag(used, group))
    await consumer.close()
  }

  #cursor({ cursors, partitions }: TopicInUse, group: string, partition: number): number {
    return Math.max(cursors.get(`${group}/${partition}`) ?? 0, partitions[partition].first)
  }

  #lag(used: TopicInUse, group: string): number {
    let lag = 0
    for (const [partition, { records }] of used.partitions.entries()) {
      lag += records.length - this.#cursor(used, group, partition)
    }
    return lag
  }

  /** A thread that writes or syncs is ended from outside, while records are on their way; another goes on. */
  async endThread(used: TopicInUse, choice: number): Promise<void> {
    const alive = this.#alive()
    // One that dies too often is given up, on purpose.
    if (alive.length === 0 || this.#deaths++ >= 2) return
    const restarted = new Promise<void>((resolve) => {
      this.#onRestart = resolve
    })
    const appended = this.append(used, 0, 2, 300)
    await alive[choice % alive.length].terminate()
    await restarted
    await appended
  }
}
