import { type CursorKey, CursorTable, encodeCursor, placeCursor } from '#core/cursor/cursor.js'
import { cursorCopies, readCursorLog, trimCursorLog } from '#core/cursor/cursor-store.js'
import { encodeBatch } from '#core/format/batch-encoder.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import type { SimulatedDisk } from '../support/simulated-disk.js'
import { type CursorModel, type Model, PartitionModel, type TopicModel } from './model.js'
import { PartitionInUse } from './partition-in-use.js'
import { require, requireEqual } from './read-partition.js'
import type { TopicInUse } from './topic-in-use.js'

export const CURSOR_SEGMENT_BYTES = 4096

/** The cursors of all groups, in a log of their own, as the host keeps them. */
export class CursorsInUse {
  readonly partition: PartitionInUse
  readonly #model: Model
  #table = new CursorTable()
  #readTo: number | undefined

  constructor(model: Model, place: { disk: SimulatedDisk; directory: string; now: () => number }) {
    this.#model = model
    this.partition = new PartitionInUse({
      ...place,
      partition: 0,
      segmentBytes: CURSOR_SEGMENT_BYTES,
      segmentEntries: 12,
      isPowerSafe: true,
      isCursorLog: true,
      model: new PartitionModel(),
    })
  }

  recover(mode: RecoveryMode): void {
    this.partition.recover(mode)
    this.#table = new CursorTable()
    this.#readTo = undefined
    this.#catchUp()
    this.#table.forget((key) => this.#isDead(key))
    this.partition.options.disk.calmly(() => this.#check())
  }

  forgetTopic(name: string): void {
    this.#table.forget(({ topic }) => topic === name)
  }

  /** Before anybody can append to it: what a group handled and a crash took back must not count for what comes. */
  place({ config, partitions }: TopicInUse): void {
    for (const entry of [...this.#table.entries()]) {
      if (entry.topic !== config.name || entry.createdMs !== config.createdMs) continue
      const { log, options } = partitions[entry.partition]
      if (entry.offset <= log!.offsetNext) continue
      require(!options.isPowerSafe, `the cursor ${entry.offset} is past the data, which ends at ${log!.offsetNext}`)
      this.#write({ ...entry, generation: entry.generation + 1 }, log!.offsetNext)
    }
  }

  #isDead({ topic, createdMs }: CursorKey): boolean {
    return this.#model.topics.get(topic)?.createdMs !== createdMs
  }

  #catchUp(): void {
    const { log, model } = this.partition
    const end = model.acknowledged
    readCursorLog(this.partition.options.disk, log!.directory, { from: this.#readTo, end }, this.#table)
    this.#readTo = end
  }

  #check(): void {
    for (const { name, createdMs, cursors } of this.#model.topics.values()) {
      for (const [key, cursor] of cursors) {
        const { group, partition } = parseCursorKey(key)
        const found = this.#table.get({ group, topic: name, createdMs, partition })?.offset ?? 0
        const possible = [cursor.offset, ...cursor.tried]
        require(possible.includes(found), `cursor of ${key} is ${found}, ${possible.join(' or ')} expected`)
        cursor.offset = found
        cursor.tried.clear()
      }
    }
  }

  /** Where a group stands, as it would go on. */
  at(topic: TopicInUse, group: string, partition: number): number {
    const cursor = this.#modelOf(topic.model, group, partition)
    const { first, acknowledged } = topic.partitions[partition].model
    const { name: of, createdMs } = topic.config
    const entry = this.#table.get({ group, topic: of, createdMs, partition })
    if (cursor.tried.size === 0) requireEqual(entry?.offset ?? 0, cursor.offset, `cursor of ${group} in ${of}`)
    const placed = placeCursor(entry?.offset ?? 0, first, acknowledged)
    require(placed.offset <= acknowledged && placed.offset >= first, 'a cursor is within the data')
    return placed.offset
  }

  #modelOf(topic: TopicModel, group: string, partition: number): CursorModel {
    const key = `${group}/${partition}`
    let cursor = topic.cursors.get(key)
    if (cursor === undefined) {
      cursor = { offset: 0, tried: new Set() }
      topic.cursors.set(key, cursor)
    }
    return cursor
  }

  /** Commits durably. `isStale`: by a member that the partition was taken from meanwhile, which must not count. */
  commit(topic: TopicInUse, group: string, partition: number, offset: number, isStale = false): void {
    const { name, createdMs } = topic.config
    const key = { group, topic: name, createdMs, partition }
    const known = this.#table.get(key)
    if (isStale && known === undefined) return
    const generation = known?.generation ?? 1
    if (isStale) this.#append([encodeCursor({ ...key, offset, generation: generation - 1 })])
    else this.#write({ ...key, generation }, offset)
  }

  #write(key: CursorKey & { generation: number }, offset: number): void {
    const { group, topic, createdMs, partition, generation } = key
    const cursor = this.#modelOf(this.#model.topics.get(topic)!, group, partition)
    cursor.tried.add(offset)
    this.#append([encodeCursor({ group, topic, createdMs, partition, generation, offset })])
    cursor.offset = offset
    cursor.tried.clear()
  }

  #append(values: readonly Uint8Array[]): void {
    if (values.length === 0) return
    const timestampMs = this.partition.options.now()
    const batch = encodeBatch(
      values.map((value) => ({ value })),
      { producerId: 1, producerEpoch: 0, sequenceFirst: 0, timestampMs },
    )
    const text = new TextDecoder()
    this.partition.append(
      batch,
      values.map((value) => ({ value: text.decode(value), timestamp: timestampMs })),
    )
    this.partition.sync()
    this.#catchUp()
  }

  /** Makes the cursor log short, in the steps of the host. */
  compact(): void {
    this.partition.makeSure()
    this.#catchUp()
    const before = this.#readTo!
    this.#table.forget((key) => this.#isDead(key))
    this.#append(cursorCopies(this.#table).map((entry) => encodeCursor(entry, entry.version)))
    trimCursorLog(this.partition.options.disk, this.partition.log!.directory, before)
  }
}

function parseCursorKey(key: string): { group: string; partition: number } {
  const [group, partition] = key.split('/')
  return { group, partition: Number(partition) }
}
