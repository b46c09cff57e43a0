import path from 'node:path'
import { loadCompactionState } from '../compaction/compact-partition.js'
import type { CompressedFile } from '../compression/compressed-file.js'
import { isWalrusError } from '../errors.js'
import { batchKeptCount, batchLength } from '../format/batch.js'
import { COMPACTION_STATE_FILE } from '../format/compaction-state.js'
import type { SegmentGap } from '../format/gaps-file.js'
import { encodeIndex, type SegmentIndex } from '../format/index-file.js'
import { SEGMENT_HEADER_BYTES } from '../format/layout.js'
import { decodeProducers } from '../format/producers-file.js'
import { PARTITIONS_MAX } from '../limits.js'
import { checkName } from '../log/names.js'
import { checkState, STATE_FILE } from '../log/state-file.js'
import { identifySegment, isHeaderGivenUp, loadGaps, type SegmentIdentity } from '../segment/gaps.js'
import { IndexBuilder } from '../segment/index-builder.js'
import { loadIndexToCome } from '../segment/replace-segment.js'
import { contentEnd, type DamageReason, scanSegment } from '../segment/scan.js'
import { loadIndex, readSegmentHeader } from '../segment/seal.js'
import { isCompressed, openSegmentFile } from '../segment/segment-file.js'
import {
  basesWithSuffix,
  GAPS_SUFFIX,
  gapsFileName,
  INDEX_SUFFIX,
  indexFileName,
  PRODUCERS_SUFFIX,
  producersFileName,
  segmentBases,
  segmentFileName,
} from '../segment/segment-name.js'
import { shown } from '../shown.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'
import { readWholeFile } from '../storage/publish-file.js'
import { checkFileSystem, checkPath, refusal, takeFields } from './check-arguments.js'
import { ADVICE, type Finding, type FindingKind } from './findings.js'

export interface PartitionPlace {
  topic: string
  partition: number
  directory: string
}

export interface PartitionReport {
  topic: string
  partition: number
  segments: number
  batches: number
  records: number
  /** Of header and whole batches. */
  bytes: number
  /** Offsets that were given up before; no damage any more. */
  gaps: { from: number; to: number }[]
  findings: Finding[]
}

/** Reads every byte of a partition's files, and says what is wrong with them. Changes nothing. */
export function verifyPartition(fs: FileSystem, place: PartitionPlace): PartitionReport {
  checkFileSystem(fs)
  const { topic, partition, directory } = takeFields(place, ['topic', 'partition', 'directory'])
  checkPath('directory', directory)
  checkName('topic', topic)
  if (!(Number.isSafeInteger(partition) && partition >= 0 && partition < PARTITIONS_MAX)) {
    throw refusal(
      'partition',
      `a partition is a number from 0 on, ${shown(partition)} was given; see the directory's name`,
    )
  }
  return new PartitionCheck(fs, { topic, partition, directory }).run()
}

class PartitionCheck {
  readonly #fs: FileSystem
  readonly #place: PartitionPlace
  readonly #report: PartitionReport
  #bases: number[] = []

  constructor(fs: FileSystem, place: PartitionPlace) {
    this.#fs = fs
    this.#place = place
    const { topic, partition } = place
    this.#report = { topic, partition, segments: 0, batches: 0, records: 0, bytes: 0, gaps: [], findings: [] }
  }

  run(): PartitionReport {
    const { directory } = this.#place
    if (!this.#fs.exists(directory)) return this.#report
    const names = this.#fs.list(directory)
    this.#bases = segmentBases(names)
    this.#report.segments = this.#bases.length
    for (const [place, base] of this.#bases.entries()) this.#checkSegment(base, this.#bases[place + 1])
    const isSegment = new Set(this.#bases)
    this.#checkCompanion('state', STATE_FILE, () => checkState(this.#fs, directory))
    if (names.includes(COMPACTION_STATE_FILE)) {
      this.#checkCompanion('compaction', COMPACTION_STATE_FILE, () => loadCompactionState(this.#fs, directory))
    }
    for (const base of basesWithSuffix(names, PRODUCERS_SUFFIX)) {
      const name = path.join(directory, producersFileName(base))
      const load = () => decodeProducers(readWholeFile(this.#fs, name), name)
      if (isSegment.has(base)) this.#checkCompanion('producers', producersFileName(base), load)
    }
    for (const suffix of [INDEX_SUFFIX, GAPS_SUFFIX]) {
      for (const base of basesWithSuffix(names, suffix)) {
        // Below the first segment, it is what an interrupted trim left.
        if (isSegment.has(base) || base < (this.#bases[0] ?? 0) || suffix === GAPS_SUFFIX) continue
        this.#find('missing', segmentFileName(base), { offset: base }, 'is missing, and its index is there')
      }
    }
    return this.#report
  }

  #checkSegment(base: number, baseNext: number | undefined): void {
    const name = path.join(this.#place.directory, segmentFileName(base))
    const file = this.#openSegment(name, base)
    if (file === undefined) return
    try {
      const index = this.#checkCompanion('index', indexFileName(base), () =>
        loadIndex(this.#fs, this.#place.directory, base),
      )
      const gaps = this.#checkCompanion('gaps', gapsFileName(base), () =>
        loadGaps(this.#fs, this.#place.directory, base),
      )
      const isHeaderLost = gaps !== undefined && isHeaderGivenUp(gaps.gaps)
      if (isCompressed(file)) this.#checkCompressed(file, base, name)
      const header = readSegmentHeader(file, name)
      const { partition } = this.#place
      if (header !== undefined && (header.baseOffset !== base || header.partition !== partition)) {
        const what = `is of partition ${header.partition} and begins with offset ${header.baseOffset} by its header`
        this.#find('misplaced', segmentFileName(base), { offset: base }, what)
        return
      }
      if (header === undefined && !isHeaderLost) {
        const where = { positionTo: SEGMENT_HEADER_BYTES, offset: base, offsetTo: base }
        this.#find('header', segmentFileName(base), where, 'has no sound segment header')
      }
      const identity = identifySegment(this.#fs, this.#place.directory, base, file, { name, skip: true })
      // A replacement that a crash has interrupted is finished by the next open.
      const toCome = loadIndexToCome(this.#fs, this.#place.directory, base)
      const isReplaced = toCome !== undefined && toCome.generation === header?.generation
      this.#checkBatches(file, base, baseNext, identity, isReplaced ? toCome : index)
    } catch (error) {
      if (!isWalrusError(error) || error.code !== 'FORMAT_VERSION') throw error
      this.#find('version', segmentFileName(base), { offset: base }, error.message)
    } finally {
      file.close()
    }
  }

  #openSegment(name: string, base: number): OpenFile | undefined {
    try {
      return openSegmentFile(this.#fs, name, 'read')
    } catch (error) {
      if (!isWalrusError(error) || error.code !== 'FORMAT_VERSION') throw error
      this.#find('version', segmentFileName(base), { offset: base }, error.message)
      return undefined
    }
  }

  #checkCompressed(file: CompressedFile, base: number, name: string): void {
    const parts = file.damagedParts(name)
    if (parts.length === 0) return
    this.#find('compression', segmentFileName(base), { offset: base }, `has damage in its ${parts.join(', ')}`)
  }

  #checkCompanion<Loaded>(kind: FindingKind, fileName: string, load: () => Loaded): Loaded | undefined {
    try {
      return load()
    } catch (error) {
      if (!isWalrusError(error)) throw error
      if (error.code === 'FORMAT_VERSION') this.#find('version', fileName, {}, error.message)
      else if (error.code === 'SEGMENT_CORRUPT') this.#find(kind, fileName, {}, 'is damaged')
      else throw error
      return undefined
    }
  }

  #checkBatches(
    file: OpenFile,
    base: number,
    baseNext: number | undefined,
    identity: SegmentIdentity | undefined,
    index: SegmentIndex | undefined,
  ): void {
    const report = this.#report
    const segmentId = identity?.segmentId ?? 0
    const builder = new IndexBuilder()
    const losses: { gap: SegmentGap; reason: DamageReason }[] = []
    const scan = scanSegment({
      file,
      segmentId,
      position: SEGMENT_HEADER_BYTES,
      offset: base,
      gaps: identity?.gaps,
      skip: true,
      onBatch: (region, at, position) => {
        builder.add(region, at, position)
        report.batches++
        report.records += batchKeptCount(region, at)
        report.bytes += batchLength(region, at)
      },
      onGap: (gap, reason) => {
        if (reason !== undefined) losses.push({ gap, reason })
        else if (gap.offsetTo > gap.offsetFrom) report.gaps.push({ from: gap.offsetFrom, to: gap.offsetTo })
      },
    })
    report.bytes += SEGMENT_HEADER_BYTES
    for (const { gap, reason } of losses) this.#findLoss('batches', base, gap, reason)
    const { position, offsetNext, damage } = scan
    const indexEnd = index === undefined ? undefined : base + index.recordCount
    const offsetTo = baseNext ?? indexEnd
    if (damage !== undefined || (offsetTo !== undefined && offsetTo > offsetNext)) {
      const end = damage === undefined ? position : contentEnd(file)
      const isTail =
        offsetTo === undefined || (damage !== undefined && offsetTo <= offsetNext && baseNext === undefined)
      const gap = { positionFrom: position, positionTo: end, offsetFrom: offsetNext, offsetTo: offsetTo ?? offsetNext }
      this.#findLoss(isTail ? 'tail' : 'batches', base, gap, damage?.reason ?? 'missing')
    }
    if (baseNext !== undefined && baseNext < offsetNext) {
      const what = `begins inside the segment before it, which ends at ${offsetNext}`
      this.#find('misplaced', segmentFileName(baseNext), { offset: baseNext }, what)
    }
    // An index that speaks of what is damaged is right; one that does not fit what is whole is not.
    if (index === undefined || losses.length > 0 || damage !== undefined || indexEnd! > offsetNext) return
    const { sealedMs } = index
    const fit = {
      ...builder.finish({
        segmentId,
        baseOffset: base,
        dataBytes: position,
        sealedMs,
        generation: identity?.generation,
      }),
    }
    fit.recordCount = offsetNext - base
    if (Buffer.compare(encodeIndex(fit), encodeIndex(index)) !== 0) {
      this.#find('index', indexFileName(base), {}, 'does not fit the batches of its segment')
    }
  }

  #findLoss(kind: FindingKind, base: number, gap: SegmentGap, reason: DamageReason | 'missing'): void {
    const { positionFrom, positionTo, offsetFrom, offsetTo } = gap
    const lost = kind === 'tail' ? `offset ${offsetFrom} and later` : offsetRange(offsetFrom, offsetTo)
    const what =
      reason === 'missing' ? `ends at byte ${positionFrom}, and ${lost} are missing` : `has damage (${reason}): ${lost}`
    const where = { position: positionFrom, positionTo, offset: offsetFrom }
    this.#find(kind, segmentFileName(base), kind === 'tail' ? where : { ...where, offsetTo }, what)
  }

  #find(kind: FindingKind, fileName: string, where: Partial<Finding>, what: string): void {
    const { topic, partition, directory } = this.#place
    const file = path.join(directory, fileName)
    this.#report.findings.push({ kind, topic, partition, file, position: 0, ...where, what, advice: ADVICE[kind] })
  }
}

function offsetRange(from: number, to: number): string {
  return to > from ? `offsets ${from} to ${to - 1}` : 'no record'
}
