import { isWalrusError } from '#core/errors.js'
import type { EncodedBatch } from '#core/format/batch-encoder.js'
import { cutPartition } from '#core/log/cut-partition.js'
import { decideRetention, type OpenPlace, removeForgotten } from '#core/log/forget.js'
import { PartitionLog } from '#core/log/partition-log.js'
import type { Retention } from '#core/log/retention.js'
import { loadState, writeState } from '#core/log/state-file.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import { type RolledSegment, sealSegment } from '#core/segment/seal.js'
import { segmentBases } from '#core/segment/segment-name.js'
import type { SimulatedDisk } from '../support/simulated-disk.js'
import type { ModelBatch, ModelRecord, PartitionModel } from './model.js'
import { readPartition, require, requireEqual } from './read-partition.js'

export interface PartitionInUseOptions {
  disk: SimulatedDisk
  directory: string
  partition: number
  segmentBytes: number
  segmentEntries: number
  /** What is acknowledged survives a loss of power; otherwise the end of the process only. */
  isPowerSafe: boolean
  /** Segments go without a word in `partition.state`, as those of the cursor log do. */
  isCursorLog?: boolean
  now: () => number
  model: PartitionModel
}

/** Named producers, as the writer is told of them. */
export interface Fences {
  since: number
  epochs: Map<number, number>
}

/** One partition in the hands of its writer, and what its model says of it. Does what a segment writer does, in one thread. */
export class PartitionInUse {
  log: PartitionLog | undefined
  readonly options: PartitionInUseOptions
  readonly model: PartitionModel
  fences: Fences | undefined
  /** So many records have to be there when the process ends now. */
  least = 0
  /** Syncs failed that it did not ask for: what is acknowledged and not durable may be gone. */
  isDoubtful = false
  #rolled: RolledSegment[] = []
  /** Where the log ended as it was closed. */
  #closedAt: number | undefined
  /** A write or sync failed: nothing is taken before the files are cut. */
  #isPoisoned = false
  /** The acknowledged point. */
  #point: OpenPlace = { baseOffset: 0, position: 0, offset: 0 }

  constructor(options: PartitionInUseOptions) {
    this.options = options
    this.model = options.model
  }

  /** Opens after the end of a process, checks all that is there, and takes it for what there is. */
  recover(mode: RecoveryMode): void {
    const { disk } = this.options
    // With damage behind it, what was never acknowledged would become a gap.
    if (mode === 'skip' && this.isDoubtful) mode = 'strict'
    this.#rolled = []
    this.log = undefined
    this.log = this.#openAsFarAsPromised(mode)
    disk.calmly(() => {
      const found = this.#describe()
      this.log!.abandon()
      this.log = this.#open(mode)
      requireEqual(this.#describe(), found, 'what a second recovery finds')
      this.#settle()
    })
  }

  /** What cannot be opened strictly after a loss of power may be cut where no promise reaches that far. */
  #openAsFarAsPromised(mode: RecoveryMode): PartitionLog {
    try {
      return this.#open(mode)
    } catch (error) {
      const mayBeCut = this.isDoubtful && mode === 'strict' && isWalrusError(error) && error.code === 'SEGMENT_CORRUPT'
      if (!mayBeCut) throw error
      return this.#open('tail')
    }
  }

  #open(recovery: RecoveryMode, rest: { knownGood?: OpenPlace; tidy?: boolean } = {}): PartitionLog {
    const { disk: fs, directory, partition, segmentBytes, segmentEntries, now } = this.options
    const log = PartitionLog.open({
      fs,
      directory,
      partition,
      segmentBytes,
      segmentEntries,
      recovery,
      now,
      producersSince: this.fences?.since,
      onRolled: (segment) => this.#rolled.push(segment),
      ...rest,
    })
    for (const [id, epoch] of this.fences?.epochs ?? []) log.producers.fence(id, epoch)
    return log
  }

  #describe(): string {
    const { disk, directory } = this.options
    const { offsetFirst, offsetNext, producers } = this.log!
    const all = disk.list(directory).sort()
    // What is forgotten may go now or at a later open; what a full disk has no room for comes with a later one.
    const baseFirst = segmentBases(all).findLast((base) => base <= offsetFirst) ?? 0
    const names = all.filter((name) => /\.(log|index|gaps)$/.test(name) && Number.parseInt(name, 10) >= baseFirst)
    const { records } = readPartition(disk, directory, { from: offsetFirst, to: offsetNext })
    return JSON.stringify([offsetFirst, offsetNext, names, producers.states(), records])
  }

  #settle(): void {
    const { model, log } = this
    const { offsetNext, offsetFirst } = log!
    require(offsetNext >= this.least, `${this.least} records had to be there, ${offsetNext} are`)
    if (log!.bases.length === 0 && model.durable === 0 && offsetNext === offsetFirst) model.loseAll(offsetNext)
    require(model.canEndAt(offsetNext), `the log ends at ${offsetNext}, in a batch`)
    model.cutAt(offsetNext)
    requireEqual(offsetNext, model.next, 'end of the log')
    this.#checkFirst(offsetFirst)
    model.first = offsetFirst
    model.firstTried.clear()
    this.checkRecords(offsetFirst, offsetNext)
    if (!this.isDoubtful) model.durable = offsetNext
    this.#isPoisoned = false
    this.acknowledge()
  }

  #checkFirst(offsetFirst: number): void {
    const { model, options } = this
    if (options.isCursorLog) return
    // What lost its end behind its first offset begins where it ends.
    const possible = [model.first, ...model.firstTried].map((first) => Math.min(first, model.next))
    require(possible.includes(offsetFirst), `the log begins at ${offsetFirst}, ${possible.join(' or ')} expected`)
  }

  /** Reads the records [from, to), and compares. */
  checkRecords(from: number, to: number): void {
    const { disk, directory } = this.options
    const { records, gaps } = readPartition(disk, directory, { from, to })
    requireEqual(gaps.length, 0, 'gaps')
    requireEqual(records.length, Math.max(to - from, 0), `records from ${from}`)
    for (const { offset, value, timestamp } of records) {
      const expected = this.model.record(offset)
      requireEqual(value, expected?.value, `value at ${offset}`)
      requireEqual(timestamp, expected?.timestamp, `time at ${offset}`)
    }
  }

  /** Finds the first record of that time or later, as who seeks by time does, and compares. */
  checkTime(timestampMs: number): void {
    const { disk, directory } = this.options
    const { first, acknowledged } = this.model
    const { records } = readPartition(disk, directory, { from: first, to: acknowledged, timestampMs })
    const found = records.find(({ timestamp }) => timestamp >= timestampMs)?.offset
    let expected: number | undefined
    for (let offset = acknowledged - 1; offset >= first; offset--) {
      if (this.model.record(offset)!.timestamp >= timestampMs) expected = offset
    }
    requireEqual(found, expected, `first record from ${timestampMs} on`)
  }

  /** Everything written is acknowledged. */
  acknowledge(): void {
    const { log, model, options } = this
    const { openBaseOffset: baseOffset, positionWritten: position, offsetNext: offset } = log!
    this.#point = { baseOffset, position, offset }
    log!.acknowledgedOffset = offset
    model.acknowledged = offset
    if (options.isPowerSafe) model.durable = offset
  }

  /** Appends, and acknowledges where that needs no sync. */
  append(batch: EncodedBatch, records: readonly ModelRecord[], origin?: ModelBatch['origin']): void {
    this.makeSure()
    // Known before it is written: a torn write may be whole all the same.
    this.model.add(records, origin)
    this.#poisonUnless(() => this.log!.appendBatch(batch.region, 0))
    if (!this.options.isPowerSafe) this.acknowledge()
  }

  /** Makes everything durable, and acknowledges it. */
  sync(): void {
    this.makeSure()
    while (this.#rolled.length > 0) this.sealOldest()
    this.#poisonUnless(() => this.log!.sync())
    if (!this.isDoubtful) this.model.durable = this.log!.offsetNext
    this.acknowledge()
  }

  roll(): void {
    this.makeSure()
    this.#poisonUnless(() => this.log!.roll())
    if (!this.options.isPowerSafe) this.acknowledge()
  }

  get hasUnsealed(): boolean {
    return this.#rolled.length > 0
  }

  sealOldest(): void {
    this.makeSure()
    const [segment] = this.#rolled
    if (segment === undefined) return
    const { disk, directory, now } = this.options
    this.#poisonUnless(() => sealSegment(disk, directory, segment, now()))
    this.#rolled.shift()
    const end = this.#rolled[0]?.baseOffset ?? this.log!.openBaseOffset
    if (!this.isDoubtful && !this.options.isPowerSafe) this.model.durable = Math.max(this.model.durable, end)
  }

  /** What recovery does not know is refused and taken back. */
  takeBack(): void {
    this.#isPoisoned = true
    this.makeSure()
  }

  #poisonUnless(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#isPoisoned = true
      throw error
    }
  }

  /** After a failure, the files are brought back to what is acknowledged before anything else is taken. */
  makeSure(): void {
    if (!this.#isPoisoned) return
    const { disk, directory, now } = this.options
    this.log?.abandon()
    this.log = undefined
    this.#rolled = []
    cutPartition(disk, directory, this.#point, now())
    this.model.cutAt(this.model.acknowledged)
    this.log = this.#open('strict', { tidy: false })
    requireEqual(this.log.offsetNext, this.model.acknowledged, 'end of what was cut')
    this.#isPoisoned = false
    this.acknowledge()
  }

  /** The writer's thread ends, and another goes on from the acknowledged point. */
  replaceWriter(): void {
    this.makeSure()
    const next = this.log!.offsetNext
    this.log!.abandon()
    this.log = undefined
    this.#rolled = []
    this.#isPoisoned = true
    const knownGood = this.#point.position > 0 ? this.#point : undefined
    this.log = this.#open('strict', { knownGood, tidy: false })
    this.#isPoisoned = false
    requireEqual(this.log.offsetNext, next, 'end of what a writer left')
    if (!this.isDoubtful) this.model.durable = next
    this.acknowledge()
  }

  /** Trims to a first offset, in the steps of the host. */
  trim(before: number): void {
    this.makeSure()
    const { disk, directory } = this.options
    const state = loadState(disk, directory)
    this.#forget(Math.max(before, state.offsetFirst), state.offsetFirst)
  }

  retain(retention: Retention, nowMs: number): void {
    this.makeSure()
    const { disk, directory } = this.options
    const state = loadState(disk, directory)
    const plan = decideRetention(disk, directory, this.#point, retention, nowMs)
    if (plan.offsetFirst > this.model.first) this.#checkPlan(plan.offsetFirst, retention, nowMs)
    this.#forget(Math.max(plan.offsetFirst, state.offsetFirst), state.offsetFirst)
  }

  /** Each segment that goes has a reason to. */
  #checkPlan(first: number, { records, ms, bytes }: Retention, nowMs: number): void {
    require(first <= this.model.acknowledged, 'retention lets go what is not acknowledged')
    const isSurplus = records !== undefined && this.model.acknowledged - first >= records
    if (isSurplus || bytes !== undefined) return
    for (let offset = this.model.first; offset < first; offset++) {
      require(this.model.record(offset)!.timestamp + ms! <= nowMs, `retention lets go ${offset}, which is young`)
    }
  }

  #forget(first: number, known: number): void {
    const { disk, directory } = this.options
    this.model.firstTried.add(first)
    if (first > known) writeState(disk, directory, { offsetFirst: first })
    // Later than any attempt whose end nobody knew.
    this.model.first = Math.max(first, this.model.first)
    this.model.firstTried.clear()
    removeForgotten(disk, directory, this.#point.baseOffset)
  }

  /** The process ends; says what has to be there in the next one. */
  end(isPowerLost: boolean): void {
    const { model, options } = this
    if (isPowerLost && !options.isPowerSafe) this.isDoubtful = true
    const inFiles = this.log?.offsetNext ?? this.#closedAt ?? model.acknowledged
    const written = this.#isPoisoned ? model.acknowledged : inFiles
    this.#closedAt = undefined
    const inMemory = this.isDoubtful && !options.isPowerSafe ? model.durable : written
    this.least = isPowerLost ? model.durable : inMemory
    this.log = undefined
  }

  /** An attempt to open failed: what was in the page cache alone may be gone. */
  openingFailed(): void {
    this.least = Math.min(this.least, this.options.isPowerSafe ? this.model.acknowledged : this.model.durable)
    if (!this.options.isPowerSafe) this.isDoubtful = true
    this.log = undefined
  }

  close(): void {
    this.makeSure()
    const log = this.log!
    this.#closedAt = log.offsetNext
    this.log = undefined
    log.close()
  }
}
