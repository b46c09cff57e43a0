import path from 'node:path'
import { systemErrorCode } from '../errors.js'
import { batchAcknowledgedOffset, batchBaseOffset, batchEpoch, batchLength, batchRecordCount } from '../format/batch.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import type { Watermark } from '../format/watermarks-file.js'
import { identifySegment, unlessDamaged } from '../segment/gaps.js'
import { classifyDamage, decideRecovery, type Witness } from '../segment/recovery.js'
import { scanSegment } from '../segment/scan.js'
import { loadIndex, readSegmentHeader } from '../segment/seal.js'
import { openSegmentFile } from '../segment/segment-file.js'
import { segmentBases, segmentFileName } from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import { corrupt, witnessBehind } from './recovered-segment.js'
import { loadState } from './state-file.js'

/** How much of a partition somebody may read who does not hold its lock. */
export interface ReadablePlace {
  offsetFirst: number
  /** One past the last record that may be read. */
  offset: number
  /** The segment in which that lies, and the byte there. */
  baseOffset: number
  position: number
}

export interface ReadableOptions {
  fs: FileSystem
  directory: string
  partition: number
  /** What the partition's writer said last; undefined where it has said nothing. */
  watermark: Watermark | undefined
  /** Whether the writer that said so is alive: then its word holds. */
  isLive: boolean
  /** Go on behind damage, as readers with gaps do. */
  skip: boolean
}

/** Files may be sealed, begun and removed beside this: then it looks again. */
const LOOKS_MAX = 16

/**
 * Finds out how far a partition is acknowledged without changing anything, beside its writer or without one. Throws
 * `SEGMENT_CORRUPT` where a strict opening would.
 *
 * What a living writer says, holds. Of one that is gone, the watermark may say too much (a loss of power took what was not
 * synced) or may itself be an old one that the disk has kept. Then the records are whole up to the first damage behind the
 * last seal, of which are acknowledged: those below the watermark that are of no later epoch than it is, and those of
 * which a later batch says so. Without any watermark all that is whole counts, as the next opening will have it.
 */
export function findReadable(options: ReadableOptions): ReadablePlace {
  for (let look = 1; ; look++) {
    try {
      return findOnce(options)
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || look === LOOKS_MAX) throw error
    }
  }
}

function findOnce(options: ReadableOptions): ReadablePlace {
  const { fs, directory, watermark, isLive } = options
  // A topic whose partitions were not all made before its creator ended.
  if (!fs.exists(directory)) return { offsetFirst: 0, offset: 0, baseOffset: 0, position: SEGMENT_HEADER_BYTES }
  if (watermark !== undefined && isLive) return watermark
  const forgotten = loadState(fs, directory).offsetFirst
  const bases = segmentBases(fs.list(directory))
  const offsetFirst = Math.max(forgotten, bases[0] ?? 0)
  const end = new Tail(options, bases).end()
  if (end.offset >= offsetFirst) return { ...end, offsetFirst }
  return { offsetFirst, offset: offsetFirst, baseOffset: end.baseOffset, position: end.position }
}

type End = Omit<ReadablePlace, 'offsetFirst'>

/** What lies behind the last seal. */
class Tail {
  readonly #options: ReadableOptions
  readonly #bases: readonly number[]
  /** Where the whole batches end, and as far as the watermark and the stamps go. */
  #whole: End
  #vouched: End
  /** The highest offset of which a batch or header says that all below it is acknowledged. */
  #acknowledged = 0
  /** Points at which a batch begins and that the stamps may still reach. */
  #open: End[] = []
  #isVouching = true

  constructor(options: ReadableOptions, bases: readonly number[]) {
    this.#options = options
    this.#bases = bases
    const first = bases[0] ?? options.watermark?.offset ?? 0
    this.#whole = { offset: first, baseOffset: first, position: SEGMENT_HEADER_BYTES }
    this.#vouched = this.#whole
  }

  end(): End {
    const bases = this.#bases
    for (let place = this.#beginning(); place < bases.length; place++) {
      const base = bases[place]
      // A segment of which the one before does not tell, or that is not where it ends, is no part of the run.
      if (place > 0 && base !== this.#whole.offset && !this.#options.skip) {
        this.#requireTorn(place - 1)
        break
      }
      if (!this.#read(base, place)) break
    }
    const { watermark } = this.#options
    if (watermark === undefined) return this.#whole
    this.#settle()
    return this.#vouched
  }

  /** The place of the last sealed segment, by its index; those behind it are read from there. */
  #beginning(): number {
    const { fs, directory, watermark, skip } = this.#options
    for (let place = this.#bases.length - 1; place >= 0; place--) {
      const base = this.#bases[place]
      const index = unlessDamaged(skip, () => loadIndex(fs, directory, base))
      if (index === undefined) continue
      const offset = base + index.recordCount
      // Sealed, and perhaps not yet acknowledged: then its batches have to be asked.
      const isVouched =
        watermark === undefined || (watermark.leaseEpoch >= index.epochLast && watermark.offset >= offset)
      if (!isVouched) continue
      this.#whole = { offset, baseOffset: base, position: index.dataBytes }
      this.#vouched = this.#whole
      return place + 1
    }
    return 0
  }

  /** Reads a segment that is not sealed. Returns whether the run goes on behind it. */
  #read(base: number, place: number): boolean {
    const { fs, directory, skip } = this.#options
    const name = path.join(directory, segmentFileName(base))
    const file = openSegmentFile(fs, name, 'read')
    try {
      const identity = identifySegment(fs, directory, base, file, { name, skip })
      if (identity === undefined) {
        this.#requireTorn(place)
        return false
      }
      this.#acknowledged = Math.max(this.#acknowledged, readSegmentHeader(file, name)?.acknowledgedOffset ?? 0)
      this.#pass(base, SEGMENT_HEADER_BYTES, base)
      const scan = scanSegment({
        file,
        segmentId: identity.segmentId,
        position: SEGMENT_HEADER_BYTES,
        offset: base,
        gaps: identity.gaps,
        skip,
        onBatch: (region, at, position) => {
          const { watermark } = this.#options
          if (watermark !== undefined && batchEpoch(region, at) > watermark.leaseEpoch) this.#isVouching = false
          this.#acknowledged = Math.max(this.#acknowledged, batchAcknowledgedOffset(region, at))
          const offset = batchOffsetNext(region, at)
          this.#pass(base, position + batchLength(region, at), offset)
        },
        onGap: ({ positionTo, offsetTo }) => this.#pass(base, positionTo, offsetTo),
      })
      if (scan.damage === undefined) return true
      this.#requireTorn(place, scan.later)
      return false
    } finally {
      file.close()
    }
  }

  /**
   * What is missing behind the run was never acknowledged, and a recovery would cut it; else this throws, as that would:
   * nobody may take damage for an end.
   */
  #requireTorn(place: number, ...later: Witness[]): void {
    const { fs, directory, partition, skip } = this.#options
    if (skip) return
    const witness = witnessBehind({ options: { fs, directory, partition }, result: { bases: [...this.#bases] }, place })
    const { offset, baseOffset, position } = this.#whole
    if (decideRecovery('strict', classifyDamage(offset, witness, ...later)) === 'cut') return
    const name = path.join(directory, segmentFileName(baseOffset))
    throw corrupt(
      name,
      position,
      offset,
      `is damaged at byte ${position} (offset ${offset}), which had been acknowledged`,
    )
  }

  /** The run goes up to here. */
  #pass(baseOffset: number, position: number, offset: number): void {
    const point = { baseOffset, position, offset }
    this.#whole = point
    const { watermark } = this.#options
    if (watermark === undefined) return
    if (this.#isVouching && offset <= watermark.offset) {
      this.#vouched = point
      this.#open = []
      return
    }
    this.#open.push(point)
    this.#settle()
  }

  /** Takes in what the stamps read so far say. */
  #settle(): void {
    while (this.#open.length > 0 && this.#open[0].offset <= this.#acknowledged) this.#vouched = this.#open.shift()!
  }
}

const batchOffsetNext = (region: Parameters<typeof batchRecordCount>[0], at: number): number =>
  batchBaseOffset(region, at) + batchRecordCount(region, at)
