import path from 'node:path'
import { decodeIndex, encodeIndex, type SegmentIndex } from '../format/index-file.js'
import { INDEX_BYTES_MAX } from '../limits.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'
import { unlessDamaged } from './gaps.js'
import { loadSegmentHeader } from './seal.js'
import { indexFileName, indexToComeFileName, segmentFileName, TEMPORARY_SUFFIX } from './segment-name.js'

/**
 * Puts the segment that is written in `<offset>.log.tmp`, synced, and its index in the place of a sealed one. The two have to
 * change together: the new index lies ready first, under a name of its own, and who finds it there after a crash, or a
 * failure, finishes what was begun (`finishReplacement`). At no moment is there a segment without an index.
 */
export function replaceSegment(fs: FileSystem, directory: string, index: SegmentIndex): void {
  const name = path.join(directory, segmentFileName(index.baseOffset))
  publishFile(fs, directory, indexToComeFileName(index.baseOffset), encodeIndex(index))
  fs.rename(name + TEMPORARY_SUFFIX, name)
  fs.syncDirectory(directory)
  takeIndex(fs, directory, index.baseOffset)
}

function takeIndex(fs: FileSystem, directory: string, baseOffset: number): void {
  const [from, to] = [indexToComeFileName(baseOffset), indexFileName(baseOffset)]
  fs.rename(path.join(directory, from), path.join(directory, to))
  fs.syncDirectory(directory)
}

/** Gives a segment the index that lies ready for it, if it is the segment's by now, or takes that away. */
export function finishReplacement(fs: FileSystem, directory: string, baseOffset: number): void {
  const index = loadIndexToCome(fs, directory, baseOffset)
  if (index !== undefined && isSegmentOf(fs, directory, index)) takeIndex(fs, directory, baseOffset)
  else if (fs.exists(path.join(directory, indexToComeFileName(baseOffset)))) {
    fs.remove(path.join(directory, indexToComeFileName(baseOffset)))
    fs.syncDirectory(directory)
  }
}

/** The index that lies ready for a segment; undefined where there is none, or none that is sound. */
export function loadIndexToCome(fs: FileSystem, directory: string, baseOffset: number): SegmentIndex | undefined {
  const name = path.join(directory, indexToComeFileName(baseOffset))
  if (!fs.exists(name)) return undefined
  return unlessDamaged(true, () => decodeIndex(readWholeFile(fs, name, INDEX_BYTES_MAX), name))
}

/** Whether the segment is the one, and the generation of it, that its index speaks of. */
export function isSegmentOf(
  fs: FileSystem,
  directory: string,
  { segmentId, generation, baseOffset }: SegmentIndex,
): boolean {
  if (!fs.exists(path.join(directory, segmentFileName(baseOffset)))) return false
  const header = loadSegmentHeader(fs, directory, baseOffset)
  return header?.segmentId === segmentId && header.generation === generation
}
