import path from 'node:path'
import { WalrusError } from '../errors.js'
import { decodeProducers, type StoredProducer } from '../format/producers-file.js'
import { loadSegmentHeader } from '../segment/seal.js'
import { producersFileName } from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'
import { readWholeFile } from '../storage/publish-file.js'
import { loadRegistry } from './producer-registry.js'

/** A sealed segment, by its base offset, and where it ends. */
export interface SegmentSpan {
  base: number
  offsetEnd: number
}

/** Of segments that follow one another, the last of which ends at `offsetEnd`. */
export function spansOf(bases: readonly number[], offsetEnd: number): SegmentSpan[] {
  return bases.map((base, place) => ({ base, offsetEnd: bases[place + 1] ?? offsetEnd }))
}

/** What the segment's `.producers` file says; undefined where there is none, or it cannot be believed. */
export function loadProducers(
  fs: FileSystem,
  directory: string,
  { base, offsetEnd }: SegmentSpan,
): readonly StoredProducer[] | undefined {
  const name = path.join(directory, producersFileName(base))
  if (!fs.exists(name)) return undefined
  try {
    const file = decodeProducers(readWholeFile(fs, name), name)
    // A file that a later life of the segment has overtaken says something else.
    const isOfSegment =
      file.offsetEnd === offsetEnd && file.segmentId === loadSegmentHeader(fs, directory, base)?.segmentId
    return isOfSegment ? file.producers : undefined
  } catch (error) {
    if (error instanceof WalrusError && error.code === 'SEGMENT_CORRUPT') return undefined
    throw error
  }
}

/**
 * How many of the first `forgotten` segments may be taken away without losing how far named producers came: what is left
 * has to tell, be it by a `.producers` file or by all batches since the first name was opened. `segments` are all sealed
 * ones, ascending; no named producer has written below `since`, undefined: none was opened.
 */
export function countDispensable(
  fs: FileSystem,
  directory: string,
  segments: readonly SegmentSpan[],
  forgotten: number,
  since: number | undefined,
): number {
  // Asked first: it is one file's word, and most partitions have no names.
  if (since === undefined || (segments[forgotten]?.base ?? 0) <= since) return forgotten
  for (let place = segments.length - 1; place >= forgotten; place--) {
    if (loadProducers(fs, directory, segments[place]) !== undefined) return forgotten
  }
  for (let place = forgotten - 1; place >= 0; place--) {
    if (segments[place].base <= since || loadProducers(fs, directory, segments[place]) !== undefined) return place
  }
  return 0
}

/** By the topic's registry: no named producer has written in the partition below it; undefined: none was opened there. */
export function loadProducersSince(fs: FileSystem, directory: string): number | undefined {
  try {
    return loadRegistry(fs, path.dirname(directory))?.since[Number(path.basename(directory))] ?? undefined
  } catch (error) {
    // What cannot be read may say that everything is needed.
    if (error instanceof WalrusError) return 0
    throw error
  }
}
