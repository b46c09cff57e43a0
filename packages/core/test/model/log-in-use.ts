import path from 'node:path'
import { isWalrusError, systemErrorCode } from '#core/errors.js'
import { loadRegistry, registerProducer } from '#core/log/producer-registry.js'
import { type TopicConfig, TopicStore } from '#core/log/topic-store.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import { verifyLog } from '#core/verify/verify-log.js'
import type { Random } from '../support/random.js'
import type { SimulatedDisk } from '../support/simulated-disk.js'
import { CURSOR_SEGMENT_BYTES, CursorsInUse } from './cursors-in-use.js'
import { Model, TopicModel } from './model.js'
import { PartitionInUse } from './partition-in-use.js'
import { require, requireEqual } from './read-partition.js'
import type { TopicInUse, TopicWish } from './topic-in-use.js'

export const NAMESPACE = '/data/space'
const CURSORS = '__cursors'
const SEGMENT_BYTES = 4096

/**
 * A whole log on a disk that fails: topics, named producers, cursors, in one thread, in the steps of the host and its
 * writers. Knows its model, and compares the two whenever a process has ended, and whenever anything is read.
 */
export class LogInUse {
  readonly disk: SimulatedDisk
  readonly model = new Model()
  readonly topics = new Map<string, TopicInUse>()
  readonly cursors: CursorsInUse
  /** Recoveries that were checked. */
  recoveries = 0
  actions = 0
  /** How the next process opens. */
  mode: RecoveryMode = 'strict'
  readonly random: Random
  readonly #store: TopicStore
  #clock = 1_000_000
  #pagesDropped = 0

  constructor(disk: SimulatedDisk, random: Random) {
    this.disk = disk
    this.random = random
    this.#store = new TopicStore(disk, NAMESPACE)
    const directory = this.#store.partitionDirectory(CURSORS, 0)
    this.cursors = new CursorsInUse(this.model, { disk, directory, now: () => this.now() })
    this.attempt(() => this.#openAll())
  }

  now(): number {
    return ++this.#clock
  }

  /** Does something, and after a failure what a log does then. */
  attempt(action: () => void): void {
    let failure: unknown
    try {
      if (!this.#isOpen) this.#restart()
      action()
    } catch (error) {
      failure = error
    }
    const hasDropped = this.#hasDroppedPages()
    if (failure !== undefined && !isSystemError(failure) && !(hasDropped && isCorrupt(failure))) throw failure
    if (this.disk.isDead) this.#endProcess(this.disk.isPowerLostWithProcess)
    // Nobody tells who lives with the page cache that pages of it are gone.
    else if (hasDropped && this.#hasWeakTopics) this.#endProcess(false)
    else if (this.#isOpen && failure !== undefined) this.#makeSure()
  }

  #isOpen = false

  get #hasWeakTopics(): boolean {
    return [...this.topics.values()].some(({ model }) => !model.isPowerSafe)
  }

  /** Whether a sync has failed since the last call. */
  #hasDroppedPages(): boolean {
    const dropped = this.disk.counts.get('page dropped') ?? 0
    const hasDropped = dropped !== this.#pagesDropped
    this.#pagesDropped = dropped
    if (hasDropped) {
      for (const partition of this.#allPartitions()) if (!partition.options.isPowerSafe) partition.isDoubtful = true
    }
    return hasDropped
  }

  *#allPartitions(): Generator<PartitionInUse> {
    yield this.cursors.partition
    for (const { partitions } of this.topics.values()) yield* partitions
  }

  /** What a failure left half done is done before anything else, where the disk lets it. */
  #makeSure(): void {
    for (const partition of this.#allPartitions()) {
      try {
        partition.makeSure()
      } catch (error) {
        const hasDropped = this.#hasDroppedPages()
        if (!isSystemError(error) && !(hasDropped && isCorrupt(error))) throw error
        if (this.disk.isDead) return this.#endProcess(this.disk.isPowerLostWithProcess)
        if (hasDropped && this.#hasWeakTopics) return this.#endProcess(false)
      }
    }
    this.#finishTopicChange()
  }

  losePower(): void {
    this.#endProcess(true)
  }

  kill(): void {
    this.#endProcess(false)
  }

  #endProcess(isPowerLost: boolean): void {
    for (const partition of this.#allPartitions()) partition.end(isPowerLost)
    this.#isOpen = false
    if (isPowerLost) this.disk.losePower(this.random)
    else this.disk.restart()
    this.#restart()
  }

  /** A few times with whatever faults there are, then in peace. */
  #restart(): void {
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        return this.#openAll()
      } catch (error) {
        if (!isSystemError(error) && !(this.#hasDroppedPages() && isCorrupt(error))) throw error
        if (this.disk.isDead && this.disk.isPowerLostWithProcess) {
          for (const partition of this.#allPartitions()) partition.end(true)
          this.disk.losePower(this.random)
        } else if (this.disk.isDead) this.disk.restart()
        for (const partition of this.#allPartitions()) partition.openingFailed()
      }
    }
    this.disk.bytesFree = Number.POSITIVE_INFINITY
    this.disk.calmly(() => this.#openAll())
  }

  #openAll(): void {
    this.disk.makeDirectory(NAMESPACE)
    this.#store.finishDeletions()
    this.#settleTopics(this.#store.list())
    this.#openCursors()
    for (const topic of this.topics.values()) this.#openTopic(topic)
    this.recoveries++
    this.#isOpen = true
  }

  /** Topics are there or not, whole; those in the making or on their way out may be either. */
  #settleTopics(found: readonly TopicConfig[]): void {
    const { model } = this
    const names = new Set(found.map(({ name }) => name))
    const { making, deleting } = model
    if (making !== undefined && names.has(making.name)) model.topics.set(making.name, making)
    if (deleting !== undefined && !names.has(deleting)) model.topics.delete(deleting)
    model.making = undefined
    model.deleting = undefined
    for (const config of found) {
      if (config.name === CURSORS) continue
      const topic = model.topics.get(config.name)
      require(topic?.createdMs === config.createdMs, `topic ${config.name} of ${config.createdMs} is there`)
      if (this.topics.get(config.name)?.model !== topic) this.#use(config, topic!)
    }
    for (const name of model.topics.keys()) require(names.has(name), `topic ${name} is gone`)
    for (const name of this.topics.keys()) if (!names.has(name)) this.topics.delete(name)
  }

  #use(config: TopicConfig, model: TopicModel): TopicInUse {
    const partitions = model.partitions.map((partition, number) => {
      return new PartitionInUse({
        disk: this.disk,
        directory: this.#store.partitionDirectory(config.name, number),
        partition: number,
        segmentBytes: config.segmentBytes,
        segmentEntries: config.segmentEntries,
        isPowerSafe: model.isPowerSafe,
        now: () => this.now(),
        model: partition,
      })
    })
    const topic = { config, partitions, model, ids: new Map<string, number>(), opened: new Set<string>() }
    this.topics.set(config.name, topic)
    return topic
  }

  #openTopic(topic: TopicInUse): void {
    const { config, partitions, model } = topic
    topic.opened.clear()
    const registry = loadRegistry(this.disk, path.join(NAMESPACE, config.name))
    for (const [name, { id, epoch }] of Object.entries(registry?.producers ?? {})) {
      const known = model.names.get(name)
      require(known !== undefined && epoch >= known.epoch && epoch <= known.epochMax, `epoch ${epoch} of ${name}`)
      model.names.set(name, { epoch, epochMax: epoch })
      topic.ids.set(name, id)
    }
    for (const [name, { epoch }] of model.names) {
      require(epoch === 0 || registry?.producers[name] !== undefined, `the name ${name} is gone`)
    }
    for (const [number, partition] of partitions.entries()) {
      const since = registry?.since[number] ?? undefined
      const epochs = new Map(Object.values(registry?.producers ?? {}).map(({ id, epoch }) => [id, epoch]))
      partition.fences = since === undefined ? undefined : { since, epochs }
      partition.recover(this.mode)
      for (const [name, id] of topic.ids) {
        const last = partition.log!.producers.lastSequence(id)
        requireEqual(last, partition.model.sequenceNext(name) - 1, `last sequence of ${name}`)
      }
    }
    this.cursors.place(topic)
  }

  #openCursors(): void {
    if (!this.disk.exists(path.join(NAMESPACE, CURSORS, 'topic.json'))) {
      require(this.cursors.partition.model.acknowledged === 0, 'the cursor log is gone')
      const request = { durability: 'disk' as const, segmentBytes: CURSOR_SEGMENT_BYTES }
      this.#store.open(CURSORS, request, { durability: 'disk' }, this.now())
    }
    this.cursors.recover(this.mode)
  }

  createTopic({ name, partitions, isPowerSafe, segmentEntries }: TopicWish): void {
    const durability = isPowerSafe ? 'disk' : 'os'
    const createdMs = this.now()
    this.model.making = new TopicModel(name, { createdMs, partitions, isPowerSafe })
    const request = { partitions, durability, segmentBytes: SEGMENT_BYTES, segmentEntries } as const
    const config = this.#store.open(name, request, { durability: 'disk' }, createdMs)
    const model = this.model.making
    this.model.topics.set(name, model)
    this.model.making = undefined
    this.#openTopic(this.#use(config, model))
  }

  deleteTopic({ config, partitions }: TopicInUse): void {
    for (const partition of partitions) partition.close()
    this.model.deleting = config.name
    this.#store.delete(config.name, this.now())
    this.model.deleting = undefined
    this.model.topics.delete(config.name)
    this.topics.delete(config.name)
    this.cursors.forgetTopic(config.name)
  }

  /** A call that failed has made its topic, or taken it away, or not: the same call again, on a disk that is well. */
  #finishTopicChange(): void {
    const { making, deleting } = this.model
    const isOpen = [...this.#allPartitions()].every(({ log }) => log !== undefined)
    if (making === undefined && deleting === undefined && isOpen) return
    this.disk.calmly(() => {
      // What a deletion's rename left in doubt is decided.
      this.disk.syncDirectory(NAMESPACE)
      this.#endProcess(false)
    })
  }

  /** Opens a producer under its name: what was opened under it before is fenced, and told nothing. */
  openName(topic: TopicInUse, name: string): void {
    const { config, partitions, model, ids } = topic
    const known = model.names.get(name) ?? { epoch: 0, epochMax: 0 }
    model.names.set(name, { epoch: known.epoch, epochMax: known.epochMax + 1 })
    for (const partition of partitions) partition.makeSure()
    const directory = path.join(NAMESPACE, config.name)
    const offsets = partitions.map(({ log }) => log!.offsetNext)
    const { producer, registry } = registerProducer(this.disk, directory, name, offsets)
    require(producer.epoch > known.epoch, `epoch ${producer.epoch} of ${name} is new`)
    model.names.set(name, { epoch: producer.epoch, epochMax: producer.epoch })
    ids.set(name, producer.id)
    topic.opened.add(name)
    for (const [number, partition] of partitions.entries()) {
      partition.fences ??= { since: registry.since[number]!, epochs: new Map() }
      partition.fences.epochs.set(producer.id, producer.epoch)
      partition.log!.producers.fence(producer.id, producer.epoch)
      const last = partition.log!.producers.lastSequence(producer.id)
      requireEqual(last, partition.model.sequenceNext(name) - 1, `last sequence of ${name}`)
    }
  }

  /** Closes everything in order, and looks at every byte. `isFresh`: on a disk that was well since the open. */
  closeAndVerify(isFresh = false): void {
    for (const partition of this.#allPartitions()) partition.close()
    this.disk.calmly(() => {
      const reports = [...verifyLog({ fs: this.disk, directory: NAMESPACE, nowMs: this.now() })]
      const findings = reports.flatMap((report) => [
        ...report.findings,
        ...report.partitions.flatMap((partition) => partition.findings),
      ])
      // Where the write of a state's second copy failed, verify says so, and the next open mends it.
      const counted = findings.filter(({ kind }) => isFresh || kind !== 'state')
      requireEqual(counted.map(({ file, what }) => `${file} ${what}`).join(), '', 'findings in a sound log')
    })
    for (const partition of this.#allPartitions()) partition.end(false)
    this.#isOpen = false
    this.disk.restart()
  }

  /** Opens what `closeAndVerify` has closed. */
  reopen(): void {
    this.#restart()
  }
}

export function isSystemError(error: unknown): boolean {
  return ['EIO', 'ENOSPC'].includes(systemErrorCode(error) ?? '')
}

function isCorrupt(error: unknown): boolean {
  return isWalrusError(error) && error.code === 'SEGMENT_CORRUPT'
}
