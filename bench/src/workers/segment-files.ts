import { closeSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makeChunk } from '../values.js'

export interface SegmentFileWrites {
  directory: string
  /** As the log does it: a new file that is given its size by `ftruncate`. Or one whose bytes were all written before. */
  file: 'sized' | 'recycled'
  bytes: number
  chunkBytes: number
  /** `fdatasync` after each chunk. */
  sync: boolean
}

/** Fills a segment's file with writes of one size. Returns bytes a second; making the file is not counted. */
export function segmentFileWrites({ directory, file, bytes, chunkBytes, sync }: SegmentFileWrites): number {
  mkdirSync(directory, { recursive: true })
  const chunk = makeChunk(727, chunkBytes)
  const descriptor = openSync(join(directory, 'segment'), 'wx')
  ftruncateSync(descriptor, bytes)
  if (file === 'recycled') fill(descriptor, chunk, bytes, false)
  // Both begin with a file that is durable, and with compiled code.
  fdatasyncSync(descriptor)
  const startMs = performance.now()
  fill(descriptor, chunk, bytes, sync)
  const seconds = (performance.now() - startMs) / 1000
  closeSync(descriptor)
  return bytes / seconds
}

function fill(descriptor: number, chunk: Uint8Array, bytes: number, sync: boolean): void {
  for (let at = 0; at + chunk.length <= bytes; at += chunk.length) {
    writeSync(descriptor, chunk, 0, chunk.length, at)
    if (sync) fdatasyncSync(descriptor)
  }
}
