import { randomInt } from 'node:crypto'
import { WalrusError } from '../errors.js'
import { batchLength, batchRecordCount, isBatchOfNamed } from '../format/batch.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Region } from '../format/region.js'
import { OFFSET_MAX } from '../limits.js'
import { OpenSegment } from '../segment/open-segment.js'
import type { RecoveryMode } from '../segment/recovery.js'
import { type RolledSegment, sealSegment } from '../segment/seal.js'
import type { FileSystem } from '../storage/file-system.js'
import { finishForgetting } from './forgotten.js'
import type { KnownGood } from './known-good.js'
import { recoverPartition } from './partition-recovery.js'
import { noteBatch, recoverProducers, snapshotProducers } from './producer-recovery.js'
import type { ProducerTable } from './producer-state.js'
import { ensureState } from './state-file.js'

export interface PartitionLogOptions {
  fs: FileSystem
  directory: string
  partition: number
  /** A batch that would make the open segment longer than this begins a new one. */
  segmentBytes: number
  /** The same by records. A batch larger than either has a segment of its own. */
  segmentEntries: number
  recovery: RecoveryMode
  /** Wall clock in milliseconds, for the dates in headers. */
  now: () => number
  /** A higher lease epoch than the one found; by default the next one. */
  leaseEpoch?: number
  knownGood?: KnownGood
  /** Whether nobody else works on the directory, as it is unless the partition was in use before. */
  tidy?: boolean
  /** Called for each batch that recovery found behind the known-good point. */
  onRecovered?: (region: Region, at: number, position: number) => void
  /**
   * Takes over segments that are full. By default they are sealed on the spot, which syncs them; a caller who seals
   * elsewhere keeps this rule: nothing in a later segment is promised against power loss before this one is sealed.
   */
  onRolled?: (rolled: RolledSegment) => void
  /** No named producer has written below this offset; left out: none has ever been opened. */
  producersSince?: number
}

/**
 * One partition's segments as their one writer sees them. Synchronous; owned by one thread.
 *
 * A caller stages batches (which gives them offsets), writes what is staged, and syncs when the promise needs it:
 * `stage`* `writeStaged` (`sync`). Invariants: `offsetWritten <= offsetNext`; all staged bytes lie in the open segment.
 */
export class PartitionLog {
  readonly directory: string
  readonly leaseEpoch: number
  /** Everything below it was acknowledged; goes into the stamps. The caller moves it, never back. */
  acknowledgedOffset: number
  readonly cutBytes: number
  /** First offset that existed as the log was opened. */
  readonly offsetFirst: number
  readonly bases: number[]
  /** How far each named producer has come, up to `offsetNext`. Batches that it does not admit are not to be staged. */
  readonly producers: ProducerTable
  /** How far named producers came could not be found out, and the mode allowed to go on: repeats may be taken as new. */
  readonly isProgressLost: boolean
  #open: OpenSegment | undefined
  readonly #options: PartitionLogOptions
  #offsetNext: number
  #isEntryDurable = true

  private constructor(options: PartitionLogOptions) {
    const recovered = recoverPartition({
      fs: options.fs,
      directory: options.directory,
      partition: options.partition,
      mode: options.recovery,
      segmentBytes: options.segmentBytes,
      nowMs: options.now(),
      knownGood: options.knownGood,
      tidy: options.tidy ?? true,
      onBatch: options.onRecovered,
    })
    this.#options = options
    this.directory = options.directory
    this.leaseEpoch = options.leaseEpoch ?? recovered.epochLast + 1
    this.#open = recovered.open
    this.#offsetNext = recovered.offsetNext
    this.acknowledgedOffset = recovered.offsetNext
    this.bases = recovered.bases
    this.offsetFirst = recovered.offsetFirst
    this.cutBytes = recovered.cutBytes
    try {
      if (options.tidy ?? true) ensureState(options.fs, options.directory)
      const { table, isIncomplete } = recoverProducers({
        fs: options.fs,
        directory: options.directory,
        mode: options.recovery,
        bases: [...recovered.forgotten, ...recovered.bases],
        openBase: recovered.open?.header.baseOffset,
        offsetNext: recovered.offsetNext,
        offsetRemembered: options.knownGood?.offset ?? recovered.offsetNext,
        since: options.producersSince,
      })
      this.producers = table
      this.isProgressLost = isIncomplete
      // Only now: they may have been the last to tell how far named producers came.
      if (options.tidy ?? true) finishForgetting(options.fs, options.directory, recovered, options.producersSince)
    } catch (error) {
      recovered.open?.abandon()
      throw error
    }
  }

  /** Recovers the directory and makes what it holds durable. Throws `SEGMENT_CORRUPT` as the recovery mode says. */
  static open(options: PartitionLogOptions): PartitionLog {
    return new PartitionLog(options)
  }

  /** Offset that the next staged record gets. */
  get offsetNext(): number {
    return this.#offsetNext
  }

  /** Base offset of the segment that takes writes, or of the one that the next write makes. */
  get openBaseOffset(): number {
    return this.#open?.header.baseOffset ?? this.#offsetNext
  }

  /** Length of that segment up to what was written. */
  get positionWritten(): number {
    return this.#open?.positionWritten ?? SEGMENT_HEADER_BYTES
  }

  /** Whether a batch of that size goes into the open segment. */
  fits(bytes: number, recordCount: number): boolean {
    const open = this.#openSegment()
    if (open.recordCount === 0) return true
    const { segmentBytes, segmentEntries } = this.#options
    return open.positionStaged + bytes <= segmentBytes && open.recordCount + recordCount <= segmentEntries
  }

  /**
   * Gives the closed batch at `at` its offset, in place. The caller has asked `fits`, and rolled where it does not.
   * The bytes are the caller's and have to stay until `writeStaged` has returned.
   */
  stage(region: Region, at: number): void {
    const open = this.#openSegment()
    if (this.#offsetNext + batchRecordCount(region, at) > OFFSET_MAX) {
      throw new WalrusError('OFFSET_OUT_OF_RANGE', `${this.directory} has used up its offsets; write to another topic`)
    }
    open.stage(region, at, this.acknowledgedOffset, this.leaseEpoch)
    this.#offsetNext = open.offsetStaged
    if (isBatchOfNamed(region, at)) noteBatch(this.producers, region, at, this.acknowledgedOffset)
  }

  /** Writes the staged batches. When it throws, `abandon` the log and `cutPartition`. */
  writeStaged(views: Uint8Array[]): void {
    this.#openSegment().writeStaged(views)
  }

  /** Stages and writes one batch, in a new segment where it needs one. Returns its base offset. */
  appendBatch(region: Region, at: number): number {
    const length = batchLength(region, at)
    if (!this.fits(length, batchRecordCount(region, at))) this.roll()
    const baseOffset = this.#offsetNext
    this.stage(region, at)
    this.writeStaged([region.u8.subarray(at, at + length)])
    return baseOffset
  }

  /** Makes all that was written durable. After it threw, that is not known: `abandon` and
   *  `cutPartition` back to what was durable before. */
  sync(): void {
    if (this.#open === undefined) return
    this.#open.sync()
    if (!this.#isEntryDurable) this.#syncEntry()
  }

  #syncEntry(): void {
    this.#options.fs.syncDirectory(this.directory)
    this.#isEntryDurable = true
  }

  /** Ends the open segment and begins the next; an empty one just stays. Everything staged has been written. */
  roll(): void {
    const full = this.#open
    if (full === undefined || full.recordCount === 0) return
    // Nothing could tell that a first segment is missing: that it is there is durable before there is a second one.
    if (!this.#isEntryDurable && this.bases.length === 1) this.#syncEntry()
    const rolled = full.rolled(this.#options.now())
    const { segmentId, baseOffset } = full.header
    rolled.producers = snapshotProducers(this.producers, { segmentId, baseOffset, offsetEnd: this.#offsetNext })
    full.abandon()
    this.#open = undefined
    if (this.#options.onRolled) this.#options.onRolled(rolled)
    else sealSegment(this.#options.fs, this.directory, rolled, this.#options.now())
    this.#openSegment()
  }

  /** Closes the descriptor; what was reserved ahead of the data is given back. Does not sync. */
  close(): void {
    const open = this.#open
    this.#open = undefined
    open?.close()
  }

  /** Closes the descriptor and leaves the files as they are. */
  abandon(): void {
    const open = this.#open
    this.#open = undefined
    open?.abandon()
  }

  #openSegment(): OpenSegment {
    if (this.#open !== undefined) return this.#open
    const { fs, partition, segmentBytes, now } = this.#options
    const header = {
      segmentId: randomInt(1, 0x1_0000_0000),
      baseOffset: this.#offsetNext,
      leaseEpoch: this.leaseEpoch,
      createdMs: now(),
      acknowledgedOffset: this.acknowledgedOffset,
      partition,
    }
    this.#open = OpenSegment.create(fs, this.directory, header, segmentBytes)
    // The directory is synced with the first sync: until then nothing in the new file is promised.
    this.#isEntryDurable = false
    this.bases.push(header.baseOffset)
    return this.#open
  }
}
