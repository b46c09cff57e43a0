import path from 'node:path'
import { type ProducerRegistry, type TopicConfig, WalrusError } from '@walrus-log/core'
import { SupervisedWriter } from '../actor/supervised-writer.js'
import {
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITION_WORDS,
  PARTITIONS_OPEN_MAX,
  partitionAt,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import type { PartitionAssignment } from '../writer/messages.js'
import { encodeRefusal } from '../writer/outcome.js'
import type { FilledOpenOptions } from './options.js'
import type { PartitionPlace, TopicPlace } from './place.js'
import type { WalrusStats } from './stats.js'
import type { WatermarkPlaces } from './watermark-places.js'
import { readStats } from './writer-stats.js'

/**
 * The writers of an open log, and which slot and which writer each open partition has. Owned by the host.
 *
 * A slot that a partition had is not another's afterwards: lanes that still lead to it are refused, and must not reach
 * another topic.
 */
export class OpenPartitions {
  readonly #directory: string
  readonly #memory: SharedMemory
  readonly #options: FilledOpenOptions
  readonly #watermarks: WatermarkPlaces
  readonly #writers: SupervisedWriter[] = []
  /** Slots that were ever taken; all below are, but for the free ones. */
  #slots = 0
  /** Of partitions that could not be opened: nobody has heard of them. */
  readonly #freeSlots: number[] = []

  /** `directory` is the namespace's. */
  constructor(directory: string, memory: SharedMemory, options: FilledOpenOptions, watermarks: WatermarkPlaces) {
    this.#directory = directory
    this.#memory = memory
    this.#options = options
    this.#watermarks = watermarks
  }

  get slots(): number {
    return this.#slots
  }

  /** Opens all of a topic's partitions, or none. */
  async open(config: TopicConfig, registry: ProducerRegistry | undefined): Promise<TopicPlace> {
    const opening: Promise<PartitionPlace>[] = []
    for (let partition = 0; partition < config.partitions; partition++)
      opening.push(this.#open(config, partition, registry))
    const results = await Promise.allSettled(opening)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined)
      return { config, partitions: results.map((result) => (result as PromiseFulfilledResult<PartitionPlace>).value) }
    await this.close(results.filter((result) => result.status === 'fulfilled').map(({ value }) => value))
    throw failed.reason
  }

  /** Settles what the partitions have in hand and closes their files. */
  async close(places: readonly PartitionPlace[]): Promise<void> {
    for (const { writer, slot } of places) await this.#writers[writer].close(slot)
  }

  /** Refuses older epochs of a producer in one partition. Resolves to its last sequence that was accepted. */
  openProducer({ writer, slot }: PartitionPlace, producerId: number, epoch: number, since: number): Promise<number> {
    return this.#writers[writer].openProducer(slot, producerId, epoch, since)
  }

  /** The acknowledged point. */
  durable(slot: number): Point {
    const at = partitionAt(slot)
    return this.#memory.readPoint(at + PARTITION_DURABLE_SELECT_AT, at + PARTITION_DURABLE_AT)
  }

  stats(): WalrusStats {
    return readStats(this.#memory, this.#writers)
  }

  /** Lets the writers settle all that was accepted, ends their threads, and refuses what came too late. */
  async stop(): Promise<PromiseSettledResult<void>[]> {
    const ends = await Promise.allSettled(this.#writers.map((writer) => writer.stop()))
    for (const writer of this.#writers) writer.refuseAll(encodeRefusal('closed'))
    return ends
  }

  async #open(config: TopicConfig, partition: number, registry: ProducerRegistry | undefined): Promise<PartitionPlace> {
    const slot = this.#takeSlot()
    const writer = this.#chooseWriter()
    const { segmentBytes, segmentEntries, durability } = config
    const directory = path.join(this.#directory, config.name, String(partition))
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
        watermark: this.#watermarks.take(config.name, config.createdMs, partition),
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
        memory: this.#memory,
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

  #takeSlot(): number {
    const slot = this.#freeSlots.pop() ?? this.#slots
    if (slot >= PARTITIONS_OPEN_MAX)
      throw new WalrusError(
        'MAILBOX_FULL',
        `${PARTITIONS_OPEN_MAX} partitions are open already; close the log and open fewer topics`,
      )
    this.#slots = Math.max(this.#slots, slot + 1)
    this.#memory.words.fill(0, partitionAt(slot), partitionAt(slot) + PARTITION_WORDS)
    return slot
  }
}

/** What a partition's writer is to know of them; undefined where none was ever opened there. */
function namedProducers(registry: ProducerRegistry | undefined, partition: number): PartitionAssignment['producers'] {
  const since = registry?.since[partition] ?? undefined
  if (registry === undefined || since === undefined) return undefined
  return { since, epochs: new Map(Object.values(registry.producers).map(({ id, epoch }) => [id, epoch])) }
}
