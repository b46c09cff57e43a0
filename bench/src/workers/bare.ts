import { closeSync, constants, fdatasyncSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeChunk, makeValues } from '../values.js'

// The baselines: what a thread can do with the same bytes and nothing but system calls. All return seconds.

/** A new file is begun at this size, as the log begins a new segment. */
const FILE_BYTES = 512 * 1024 * 1024
const WARM_UP_CALLS = 2_000

export interface BareWrites {
  directory: string
  recordBytes: number
  bytes: number
  chunkBytes: number
  /** `fdatasync` after each write. */
  sync: boolean
}

/** Writes `bytes` with writes of `chunkBytes` into new files. */
export function bareWrites({ directory, recordBytes, bytes, chunkBytes, sync }: BareWrites): number {
  mkdirSync(directory, { recursive: true })
  const chunk = makeChunk(recordBytes, chunkBytes)
  warmUp(directory, chunk.subarray(0, recordBytes), false)
  const startMs = performance.now()
  for (let written = 0, files = 0; written < bytes; files++) {
    const descriptor = openSync(join(directory, `bare-${files}`), 'wx')
    const fileBytes = Math.min(bytes - written, FILE_BYTES)
    for (let at = 0; at < fileBytes; at += chunkBytes) {
      writeSync(descriptor, chunk, 0, Math.min(chunkBytes, fileBytes - at), at)
      if (sync) fdatasyncSync(descriptor)
    }
    closeSync(descriptor)
    written += fileBytes
  }
  return (performance.now() - startMs) / 1000
}

export interface BareRecordWrites {
  directory: string
  recordBytes: number
  count: number
  /** `fdatasync` after each record. */
  sync: boolean
}

/** Writes `count` records with a write each into a new file. */
export function bareRecordWrites({ directory, recordBytes, count, sync }: BareRecordWrites): number {
  mkdirSync(directory, { recursive: true })
  const values = makeValues(recordBytes)
  warmUp(directory, values[0], sync)
  const descriptor = openSync(join(directory, 'bare'), 'wx')
  const startMs = performance.now()
  for (let index = 0; index < count; index++) {
    writeSync(descriptor, values[index % values.length], 0, recordBytes, index * recordBytes)
    if (sync) fdatasyncSync(descriptor)
  }
  const seconds = (performance.now() - startMs) / 1000
  closeSync(descriptor)
  return seconds
}

function warmUp(directory: string, value: Uint8Array, sync: boolean): void {
  const descriptor = openSync(join(directory, 'warm-up'), 'wx')
  const calls = sync ? WARM_UP_CALLS / 20 : WARM_UP_CALLS
  for (let index = 0; index < calls; index++) {
    writeSync(descriptor, value, 0, value.length, index * value.length)
    if (sync) fdatasyncSync(descriptor)
  }
  closeSync(descriptor)
}

export interface BareAppends {
  file: string
  recordBytes: number
  count: number
}

/** Appends `count` records to a file that grows, with write and `fdatasync` each; milliseconds of each. */
export function bareAppendLatencies({ file, recordBytes, count }: BareAppends): number[] {
  mkdirSync(dirname(file), { recursive: true })
  const values = makeValues(recordBytes)
  const latencies: number[] = []
  const descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT)
  let position = fstatSync(descriptor).size
  for (let index = 0; index < count; index++) {
    const startMs = performance.now()
    writeSync(descriptor, values[index % values.length], 0, recordBytes, position)
    fdatasyncSync(descriptor)
    latencies.push(performance.now() - startMs)
    position += recordBytes
  }
  closeSync(descriptor)
  return latencies
}

export interface BarePreads {
  files: string[]
  /** What there is to read of them: the last one may be longer than its data. */
  bytes: number
  chunkBytes: number
}

/** Reads files from end to end with reads of `chunkBytes`. */
export function barePreads({ files, bytes, chunkBytes }: BarePreads): number {
  const chunk = new Uint8Array(chunkBytes)
  const startMs = performance.now()
  let left = bytes
  for (const file of files) {
    const descriptor = openSync(file, 'r')
    for (let position = 0; left > 0; ) {
      const count = readSync(descriptor, chunk, 0, Math.min(chunkBytes, left), position)
      if (count === 0) break
      position += count
      left -= count
    }
    closeSync(descriptor)
  }
  return (performance.now() - startMs) / 1000
}

/** Keeps a core busy for so long. */
export function spin({ milliseconds }: { milliseconds: number }): number {
  const endMs = performance.now() + milliseconds
  let turns = 0
  while (performance.now() < endMs) turns++
  return turns
}
