import { isWalrusError } from '#core/errors.js'
import { type EncodedBatch, encodeBatch } from '#core/format/batch-encoder.js'
import type { Watermark } from '#core/format/watermarks-file.js'
import { cutPartition } from '#core/log/cut-partition.js'
import { PartitionLog } from '#core/log/partition-log.js'
import { findReadable } from '#core/log/readable-end.js'
import { countRemovable } from '#core/log/retention.js'
import { STATE_FILE } from '#core/log/state-file.js'
import { compressSegment } from '#core/segment/compress-segment.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import { type RolledSegment, sealSegment } from '#core/segment/seal.js'
import { basesWithSuffix, INDEX_SUFFIX } from '#core/segment/segment-name.js'
import { verifyPartition } from '#core/verify/verify-partition.js'
import { below, type Random } from '../support/random.js'
import { readOver } from '../support/read-over.js'
import type { SimulatedDisk } from '../support/simulated-disk.js'

export const DIRECTORY = '/disk/topic/0'

export type Action =
  | { type: 'append'; records: number; bytes: number }
  /** Makes all durable, and acknowledges it. */
  | { type: 'sync' }
  /** Seals the oldest full segment that waits for it, as another thread would. */
  | { type: 'seal' }
  /** Compresses a segment that is none of the writer's business any more, as another thread would. */
  | { type: 'compress' }
  /** Ends the log and opens it again; killed, the process does not get to close it. */
  | { type: 'reopen'; isKilled: boolean }
  /** The writer's thread ends and another goes on in the same process, from the last acknowledged point. */
  | { type: 'resume' }
  /** Everything that is not acknowledged is taken back. */
  | { type: 'takeBack' }
  | { type: 'writeBack' }
  | { type: 'losePower' }
  /** The process dies at that call from now on, in whatever it does then. */
  | { type: 'dieAfter'; calls: number; isPowerLost: boolean }
  /** So many bytes are left on the disk. */
  | { type: 'fill'; bytes: number }

interface WrittenBatch {
  values: string[]
  /** What was acknowledged as it was stamped. */
  acknowledged: number
}

/**
 * A writer and its disk, and what the writer promised. After every end of the process, and at the end, all promises are
 * checked: what was acknowledged is there, unchanged, in order, once; batches are whole; nothing is there that was not
 * written, or that was refused and taken out; a second recovery finds the same as the first.
 */
export class Story {
  readonly disk: SimulatedDisk
  /** Recoveries that were checked. */
  recoveries = 0
  readonly #random: Random
  readonly #limits: { segmentBytes: number; segmentEntries: number }
  #log: PartitionLog | undefined
  #rolled: RolledSegment[] = []
  /** Everything in the log, as the writer knows it. */
  #written: WrittenBatch[] = []
  #acknowledged = 0
  /** What the writer has said of it to others, the last one last. */
  readonly #said: Watermark[] = []
  #durable = { baseOffset: 0, position: 0, offset: 0 }
  /** A write or sync failed: nothing is taken before the files are cut. */
  #isPoisoned = false
  #count = 0

  constructor(disk: SimulatedDisk, random: Random, limits: { segmentBytes: number; segmentEntries: number }) {
    this.disk = disk
    this.#random = random
    this.#limits = limits
    this.#attempt(() => this.#recover(0))
  }

  run(action: Action): void {
    this.disk.trace?.(JSON.stringify(action))
    if (action.type === 'dieAfter') {
      this.disk.callsLeft = action.calls
      this.disk.isPowerLostWithProcess = action.isPowerLost
    } else if (action.type === 'fill') this.disk.bytesFree = action.bytes
    else if (action.type === 'writeBack') this.disk.writeBack(this.#random)
    else this.#attempt(() => this.#do(action))
  }

  /** The power goes once more; then everything is checked, and the log is closed. */
  end(): void {
    this.#losePower()
    this.disk.calmly(() => {
      this.#log!.close()
      this.#log = undefined
    })
  }

  /** What a failed call leaves to be done is done as the log's writer does it. */
  #attempt(action: () => void): void {
    try {
      action()
    } catch (error) {
      if (!isSystemError(error)) throw error
      if (this.disk.isDead) this.#die()
      else if (this.#log === undefined) this.#recoverSomehow()
      else this.#poison()
    }
  }

  #do(action: Exclude<Action, { type: 'dieAfter' | 'fill' | 'writeBack' }>): void {
    if (action.type === 'losePower') return this.#losePower()
    if (this.#isPoisoned) this.#cut()
    const log = this.#log
    if (log === undefined) return this.#recover(this.#acknowledged)
    switch (action.type) {
      case 'append': {
        const values = Array.from({ length: action.records }, () => `${this.#count++}:${'x'.repeat(action.bytes)}`)
        // Known before it is written: a torn write may be whole all the same.
        this.#written.push({ values, acknowledged: log.acknowledgedOffset })
        log.appendBatch(batchOf(values).region, 0)
        return
      }
      case 'sync':
        while (this.#rolled.length > 0) this.#sealOldest()
        log.sync()
        this.#acknowledge()
        return
      case 'seal':
        if (this.#rolled.length > 0) this.#sealOldest()
        return
      case 'compress':
        return this.#compress(log)
      case 'reopen':
        this.#log = undefined
        if (action.isKilled) log.abandon()
        else closeSomehow(log)
        return this.#recover(this.#recordCount)
      case 'resume':
        this.#log = undefined
        log.abandon()
        return this.#recover(this.#recordCount, this.#durable.position > 0 ? this.#durable : undefined)
      case 'takeBack':
        return this.#poison()
    }
  }

  /** What fails here is tried again later, and nothing else comes of it. */
  #compress(log: PartitionLog): void {
    const sealed = new Set(basesWithSuffix(this.disk.list(DIRECTORY), INDEX_SUFFIX))
    const removable = countRemovable(log.bases, (base) => sealed.has(base), this.#durable.baseOffset)
    if (removable === 0) return
    try {
      const base = log.bases[below(this.#random, removable)]
      compressSegment(this.disk, DIRECTORY, base, this.#random() < 0.5 ? 'lz4' : 'zstd')
    } catch (error) {
      if (!isSystemError(error) || this.disk.isDead) throw error
    }
  }

  get #recordCount(): number {
    return this.#written.reduce((records, { values }) => records + values.length, 0)
  }

  #sealOldest(): void {
    sealSegment(this.disk, DIRECTORY, this.#rolled[0], 0)
    this.#rolled.shift()
  }

  #acknowledge(): void {
    const { openBaseOffset: baseOffset, positionWritten: position, offsetNext: offset } = this.#log!
    this.#acknowledged = offset
    this.#log!.acknowledgedOffset = offset
    this.#durable = { baseOffset, position, offset }
    this.#said.push({ offset, baseOffset, position, offsetFirst: 0, leaseEpoch: this.#log!.leaseEpoch, opening: 1 })
  }

  #poison(): void {
    this.#isPoisoned = true
    this.#attempt(() => this.#cut())
  }

  /** Takes back what is not acknowledged. Where that fails, it is tried again before anything else. */
  #cut(): void {
    const log = this.#log
    this.#log = undefined
    this.#rolled = []
    log?.abandon()
    try {
      cutPartition(this.disk, DIRECTORY, this.#durable, 0)
    } catch (error) {
      if (!isSystemError(error) || this.disk.isDead) throw error
      return
    }
    this.#isPoisoned = false
    this.#keepBatches(this.#acknowledged)
    this.#recover(this.#acknowledged)
  }

  #losePower(): void {
    this.disk.losePower(this.#random)
    this.#restarted(this.#acknowledged)
  }

  /** The process is gone; what it had written is there, unless the power went as well or nobody knows what a failure left. */
  #die(): void {
    // The last batch may have been in the making.
    const least = this.#isPoisoned ? this.#acknowledged : Math.max(this.#acknowledged, this.#recordsBut(1))
    if (this.disk.isPowerLostWithProcess) return this.#losePower()
    this.disk.restart()
    this.#restarted(least)
  }

  #recordsBut(batches: number): number {
    const rest = this.#written.slice(0, Math.max(this.#written.length - batches, 0))
    return rest.reduce((records, { values }) => records + values.length, 0)
  }

  #restarted(least: number): void {
    this.#log = undefined
    this.#attemptRecovery(least)
  }

  /** A few times with whatever faults there are, then in peace. */
  #attemptRecovery(least: number): void {
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        return this.#recover(least)
      } catch (error) {
        if (!isSystemError(error)) throw error
        if (this.disk.isDead) this.disk.restart()
        // A sync that failed may have cost what was in the page cache only.
        least = this.#acknowledged
      }
    }
    this.disk.bytesFree = Number.POSITIVE_INFINITY
    this.disk.calmly(() => this.#recover(least))
  }

  /** But for the state file, which a full disk has no room for, and a later open makes. */
  #names(): string {
    return this.disk
      .list(DIRECTORY)
      .filter((name) => name !== STATE_FILE)
      .sort()
      .join()
  }

  #recoverSomehow(): void {
    if (!this.#isPoisoned) this.#attemptRecovery(this.#acknowledged)
  }

  /** Opens strictly, and checks what is there. What a recovery hands out has to stay. */
  #recover(least: number, knownGood?: { baseOffset: number; position: number; offset: number }): void {
    this.#rolled = []
    const whole = knownGood === undefined ? this.#look() : undefined
    this.#log = this.#open(knownGood)
    this.disk.calmly(() => {
      const found = this.#check(this.#log!, least)
      if (whole !== undefined) equal(whole, found, 'records that somebody sees who only looks')
      if (knownGood === undefined) {
        this.#log!.abandon()
        const names = this.#names()
        this.#log = this.#open()
        equal(this.#check(this.#log, least), found, 'records found by a second recovery')
        equal(this.#names(), names, 'files after a second recovery')
      }
      this.#keepBatches(found)
    })
    this.recoveries++
    this.#isPoisoned = false
    this.#acknowledge()
  }

  /**
   * What somebody may read who only looks, without a writer: by the last watermark all that is acknowledged and nothing
   * else; by one of the past, which the disk may have kept, nothing that is not. Returns how many records are whole.
   */
  #look(): number {
    const readable = (watermark: Watermark | undefined): number =>
      findReadable({ fs: this.disk, directory: DIRECTORY, partition: 0, watermark, isLive: false, skip: false }).offset
    let whole = 0
    this.disk.calmly(() => {
      const said = this.#said
      if (said.length > 0) {
        equal(readable(said.at(-1)), this.#acknowledged, 'records that are readable by the watermark')
        const past = readable(said[this.recoveries % said.length])
        if (past > this.#acknowledged) throw new Error(`${past} records are readable by a watermark of the past`)
      }
      whole = readable(undefined)
    })
    return whole
  }

  #open(knownGood?: { baseOffset: number; position: number; offset: number }): PartitionLog {
    return openLog(this.disk, 'strict', {
      ...this.#limits,
      knownGood,
      // The successor of a writer that died in this process knows the epoch of that.
      leaseEpoch: knownGood && this.#said.at(-1)!.leaseEpoch + 1,
      onRolled: (segment) => this.#rolled.push(segment),
    })
  }

  /** Returns how many records are there. */
  #check(log: PartitionLog, least: number): number {
    equal(log.offsetFirst, 0, 'first offset')
    const { values, gaps } = readOver(DIRECTORY, log, { fs: this.disk, skip: false, regionBytes: 1024 })
    equal(gaps.length, 0, 'gaps')
    if (values.size < least) throw new Error(`${least} records had to be there, ${values.size} are`)
    let offset = 0
    for (const batch of this.#written) {
      if (offset === values.size) break
      for (const value of batch.values) equal(values.get(offset), value, `record ${offset++}`)
    }
    equal(values.size, offset, 'records in whole batches')
    return offset
  }

  #keepBatches(records: number): void {
    let left = records
    this.#written = this.#written.filter(({ values }) => {
      left -= values.length
      return left >= 0
    })
  }

  /** One bit of the closed log turns over: whoever opens it, in whatever mode, is not told anything wrong. */
  rot(): void {
    const { disk } = this
    disk.calmly(() => {
      const total = this.#recordCount
      if (total === 0) return
      equal(this.#verified(disk), 0, 'findings in a sound log')
      const rotten = disk.rot(DIRECTORY, this.#random)
      if (rotten === undefined) return
      const what = `bit in byte ${rotten.at} of ${rotten.name}`
      if (this.#verified(disk) === 0) throw new Error(`verify does not see a ${what}`)
      this.#openRotten('strict', this.#written.at(-1)!.acknowledged, what)
      this.#openRotten('tail', 0, what)
      this.#openRotten('skip', total - this.#written.at(-1)!.values.length, what)
    })
  }

  #verified(disk: SimulatedDisk): number {
    return verifyPartition(disk, { topic: 't', partition: 0, directory: DIRECTORY }).findings.length
  }

  /** `least`: so many records have to be there, or to be told as missing, unless the log is refused by name. */
  #openRotten(mode: RecoveryMode, least: number, what: string): void {
    const disk = this.disk.clone()
    const all = this.#written.flatMap(({ values }) => values)
    try {
      const log = openLog(disk, mode, this.#limits)
      if (log.offsetNext < least) throw new Error(`${what}: ${mode} ends at ${log.offsetNext}, before ${least}`)
      const found = readOver(DIRECTORY, log, { fs: disk, skip: mode === 'skip' })
      for (const [offset, value] of found.values) equal(value, all[offset], `${what}: ${mode}, record ${offset}`)
      if (mode !== 'skip') equal(found.gaps.length, 0, `${what}: gaps in mode ${mode}`)
    } catch (error) {
      if (mode === 'skip' || !isWalrusError(error) || error.code !== 'SEGMENT_CORRUPT') throw error
    }
  }
}

function openLog(
  fs: SimulatedDisk,
  recovery: RecoveryMode,
  options: Partial<Parameters<typeof PartitionLog.open>[0]> & { segmentBytes: number; segmentEntries: number },
): PartitionLog {
  return PartitionLog.open({ fs, directory: DIRECTORY, partition: 0, recovery, now: () => 0, ...options })
}

function batchOf(values: readonly string[]): EncodedBatch {
  const records = values.map((value) => ({ value: new TextEncoder().encode(value) }))
  return encodeBatch(records, { producerId: 7, producerEpoch: 1, sequenceFirst: 0, timestampMs: 0 })
}

/** A close whose truncation fails leaves the reserve behind, which is none of a reader's business. */
function closeSomehow(log: PartitionLog): void {
  try {
    log.close()
  } catch (error) {
    if (!isSystemError(error)) throw error
  }
}

function isSystemError(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'EIO' || code === 'ENOSPC'
}

function equal(found: unknown, expected: unknown, what: string): void {
  if (found !== expected) throw new Error(`${what}: ${String(found)}, expected ${String(expected)}`)
}

/** A choice of actions, as a log may meet them. */
export function randomAction(random: Random): Action {
  const chance = random() * 100
  if (chance < 45)
    return { type: 'append', records: 1 + below(random, 4), bytes: below(random, random() < 0.1 ? 1200 : 300) }
  if (chance < 62) return { type: 'sync' }
  if (chance < 70) return { type: 'seal' }
  if (chance < 74) return { type: 'reopen', isKilled: random() < 0.5 }
  if (chance < 78) return { type: 'resume' }
  if (chance < 81) return { type: 'takeBack' }
  if (chance < 83) return { type: 'compress' }
  if (chance < 87) return { type: 'writeBack' }
  if (chance < 91) return { type: 'losePower' }
  if (chance < 97) return { type: 'dieAfter', calls: below(random, 25), isPowerLost: random() < 0.6 }
  return { type: 'fill', bytes: random() < 0.5 ? Number.POSITIVE_INFINITY : below(random, 3000) }
}
