import path from 'node:path'
import { isWalrusError } from '../errors.js'
import { READ_CHUNK_BYTES } from '../limits.js'
import { recoverPartition } from '../log/partition-recovery.js'
import { loadState, publishState, STATE_FILE } from '../log/state-file.js'
import { inflateSegment } from '../segment/compress-segment.js'
import {
  GAPS_SUFFIX,
  gapsFileName,
  INDEX_SUFFIX,
  indexFileName,
  parseBaseOffset,
  SEGMENT_SUFFIX,
  segmentBases,
  segmentFileName,
} from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import type { Finding } from './findings.js'
import type { PartitionPlace, PartitionReport } from './verify-partition.js'

/** `cut`: the log ends at the first damage. `skip`: all that is whole is kept, readers are shown gaps. */
export type RepairMode = (typeof REPAIR_MODES)[number]

export const REPAIR_MODES = ['cut', 'skip'] as const

/**
 * Mends what `report` says of a partition that nobody has open. Whatever is changed or removed is kept beside, under a
 * name that ends in `.damaged-<time>`. Returns these files' paths. Interrupted, it can be run again.
 */
export function repairPartition(
  fs: FileSystem,
  { directory, partition }: PartitionPlace,
  { findings }: PartitionReport,
  mode: RepairMode,
  nowMs: number,
): string[] {
  if (findings.length === 0 || findings.some(({ kind }) => kind === 'misplaced' || kind === 'version')) return []
  const aside = new Aside(fs, directory, `.damaged-${nowMs}`)
  const suspects = new Set<number>()
  for (const finding of findings) {
    // What the next open can make anew, or do without, only has to be out of its way.
    if (finding.kind === 'state') replaceState(fs, directory, aside)
    else if (isReplaceable(finding)) aside.move(path.basename(finding.file))
    else if (finding.kind === 'compression') {
      aside.copy(path.basename(finding.file))
      inflateSegment(fs, directory, baseOf(finding))
    } else suspects.add(baseOf(finding))
  }
  fs.syncDirectory(directory)
  if (suspects.size === 0) return aside.files
  // Copies come first: what cannot be kept is not touched.
  for (const base of suspects) {
    for (const name of [indexFileName(base), gapsFileName(base)]) aside.copy(name)
    if (mode === 'skip' && findings.some((finding) => finding.kind === 'tail' && baseOf(finding) === base)) {
      aside.copy(segmentFileName(base))
    }
  }
  const losses = findings.filter((finding) => ['batches', 'tail', 'header', 'missing', 'gaps'].includes(finding.kind))
  if (mode === 'cut') cutBehind(fs, directory, losses, aside)
  const recovered = recoverPartition({
    fs,
    directory,
    partition,
    mode: mode === 'cut' ? 'tail' : 'skip',
    segmentBytes: 0,
    nowMs,
    suspects,
  })
  recovered.open?.close()
  return aside.files
}

/** What one of its two slots still says is kept. */
function replaceState(fs: FileSystem, directory: string, aside: Aside): void {
  aside.copy(STATE_FILE)
  try {
    publishState(fs, directory, loadState(fs, directory))
  } catch (error) {
    if (!isWalrusError(error)) throw error
    fs.remove(path.join(directory, STATE_FILE))
  }
}

const isReplaceable = ({ kind }: Finding): boolean => kind === 'producers' || kind === 'compaction'

/** Takes all segments behind the first loss out of the way, the last one first, so that the log stays a prefix. */
function cutBehind(fs: FileSystem, directory: string, losses: readonly Finding[], aside: Aside): void {
  if (losses.length === 0) return
  const first = Math.min(...losses.map(baseOf))
  aside.copy(segmentFileName(first))
  const behind = segmentBases(fs.list(directory)).filter((base) => base > first)
  for (const base of behind.reverse()) {
    for (const name of [indexFileName(base), segmentFileName(base), gapsFileName(base)]) aside.move(name)
    fs.syncDirectory(directory)
  }
}

/** The segment that the finding is about, or the one before the segment that is missing. */
function baseOf({ file }: Finding): number {
  const name = path.basename(file)
  const bases = [SEGMENT_SUFFIX, INDEX_SUFFIX, GAPS_SUFFIX].map((suffix) => parseBaseOffset(name, suffix))
  return bases.find((base) => base !== undefined) ?? 0
}

/** Keeps files beside, under another name, and knows which. */
class Aside {
  readonly files: string[] = []
  readonly #fs: FileSystem
  readonly #directory: string
  readonly #suffix: string

  constructor(fs: FileSystem, directory: string, suffix: string) {
    this.#fs = fs
    this.#directory = directory
    this.#suffix = suffix
  }

  /** Copies the file, if it is there and was not copied yet, and makes the copy durable. */
  copy(fileName: string): void {
    const from = path.join(this.#directory, fileName)
    const to = from + this.#suffix
    if (!this.#fs.exists(from) || this.files.includes(to)) return
    copyFile(this.#fs, from, to)
    this.#fs.syncDirectory(this.#directory)
    this.files.push(to)
  }

  move(fileName: string): void {
    const from = path.join(this.#directory, fileName)
    const to = from + this.#suffix
    if (!this.#fs.exists(from)) return
    this.#fs.rename(from, to)
    if (!this.files.includes(to)) this.files.push(to)
  }
}

export function copyFile(fs: FileSystem, from: string, to: string): void {
  const source = fs.open(from, 'read')
  try {
    const target = fs.open(to, 'create')
    try {
      const chunk = new Uint8Array(READ_CHUNK_BYTES)
      for (let position = 0; ; ) {
        const bytes = source.read(chunk, 0, chunk.length, position)
        if (bytes === 0) break
        target.write(chunk, 0, bytes, position)
        position += bytes
      }
      target.sync()
    } finally {
      target.close()
    }
  } finally {
    source.close()
  }
}
