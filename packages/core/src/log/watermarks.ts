import path from 'node:path'
import { Region } from '../format/region.js'
import {
  decodeWatermarksHeader,
  encodeWatermarksHeader,
  WATERMARK_BYTES,
  WATERMARKS_FILE,
  type WatermarksHeader,
  watermarkPlaces,
} from '../format/watermarks-file.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'

/** A new file has this much at once, so that a disk that has filled up since still takes what is said of its partitions. */
const FILE_BYTES_MIN = 4096

/** The bytes of a namespace's watermarks; undefined where there is no such file. */
export function loadWatermarks(fs: FileSystem, directory: string): Region | undefined {
  const file = path.join(directory, WATERMARKS_FILE)
  if (!fs.exists(file)) return undefined
  const bytes = readWholeFile(fs, file)
  const region = Region.allocate(bytes.length)
  region.u8.set(bytes)
  return region
}

/**
 * Says in the file that the log is open for writing, before anything is written; makes the file where there is none that
 * is sound. Returns the places that its partitions have. What writers of openings before have said stays, for partitions
 * that nobody has opened since.
 */
export function openWatermarks(fs: FileSystem, directory: string, header: WatermarksHeader): Map<string, number> {
  const known = loadWatermarks(fs, directory)
  if (known === undefined || decodeWatermarksHeader(known) === undefined) {
    const bytes = new Uint8Array(FILE_BYTES_MIN)
    bytes.set(encodeWatermarksHeader(header))
    publishFile(fs, directory, WATERMARKS_FILE, bytes)
    return new Map()
  }
  const file = fs.open(path.join(directory, WATERMARKS_FILE), 'write')
  try {
    file.write(encodeWatermarksHeader(header), 0, WATERMARK_BYTES, 0)
  } finally {
    file.close()
  }
  return watermarkPlaces(known)
}
