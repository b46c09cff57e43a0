import path from 'node:path'
import {
  batchLength,
  type Codec,
  type FileSystem,
  fileBytes,
  INDEX_ENTRY_NUMBERS,
  loadIndex,
  READ_CHUNK_BYTES,
  type ReadPosition,
  Region,
  SEGMENT_HEADER_BYTES,
  SegmentReader,
  segmentBases,
  segmentFileName,
} from '@walrus-log/core'
import { Batch } from '../log/batch.js'
import { CODECS } from '../log/codec.js'
import { Gap } from '../log/gap.js'
import { encodeError } from '../message/error-codec.js'
import { loadFileSystem } from '../writer/file-system.js'
import type { EncodedError } from '../writer/messages.js'

/** About so much of a partition, of a sealed segment or of several, is one call of the user's function: many enough that threads end at about
 *  the same time, and few enough that what they say costs nothing. */
const SLICE_BYTES = 32 * 1024 * 1024

/** Batches that one call of the user's function is given. */
export interface ScanSlice {
  partition: number
  directory: string
  from: ReadPosition
  /** Records before it are not shown, and none from `offsetTo` on. */
  offsetFrom: number
  offsetTo: number
}

export interface ScanPlanRequest {
  fileSystem: string | undefined
  partition: number
  directory: string
  offsetFrom: number
  offsetTo: number
}

export interface ScanRequest extends ScanSlice {
  fileSystem: string | undefined
  skip: boolean
  topic: string
  codec: Codec
  /** URL of the user's module. */
  module: string
  args: unknown
  /** One word: not 0 once nobody wants the result. */
  stop: SharedArrayBuffer
}

/** What a user's function is told beside the batches. */
export interface ScanInfo {
  topic: string
  partition: number
  /** As the caller of `scan` gave it. */
  args: unknown
}

/** The default export of a user's module: what it makes of some batches is one part of the scan's result. */
export type ScanMap<Value = unknown, Part = unknown> = (
  batches: Iterable<Batch<Value> | Gap>,
  info: ScanInfo,
) => Part | Promise<Part>

export type ScanReply =
  | { ok: true; part: unknown }
  | { ok: true; slices: ScanSlice[] }
  | { ok: false; isUsers: boolean; error: EncodedError }

/** Cuts a partition where its batches begin; what is not sealed is cut by segments only. */
export async function scanPlan(request: ScanPlanRequest): Promise<ScanReply> {
  try {
    return { ok: true, slices: slicesOf(await loadFileSystem(request.fileSystem), request) }
  } catch (error) {
    return { ok: false, isUsers: false, error: encodeError(error) }
  }
}

function slicesOf(fs: FileSystem, { partition, directory, offsetFrom, offsetTo }: ScanPlanRequest): ScanSlice[] {
  if (offsetFrom >= offsetTo) return []
  const starts: ReadPosition[] = []
  // Behind the last start: small segments go together.
  let bytes = SLICE_BYTES
  const pass = (from: number, start: ReadPosition): void => {
    bytes += start.position - from
    if (bytes < SLICE_BYTES) return
    bytes = 0
    starts.push(start)
  }
  for (const baseOffset of segmentBases(fs.list(directory))) {
    if (baseOffset >= offsetTo) break
    let position = SEGMENT_HEADER_BYTES
    pass(position, { baseOffset, position, offset: baseOffset })
    const index = loadIndex(fs, directory, baseOffset)
    for (let entry = 0; index !== undefined && entry < index.entries.length; entry += INDEX_ENTRY_NUMBERS) {
      const start = { baseOffset, position: index.entries[entry + 1], offset: index.entries[entry] }
      pass(position, start)
      position = start.position
    }
    const end = index?.dataBytes ?? fileBytes(fs, path.join(directory, segmentFileName(baseOffset)))
    bytes += end - position
  }
  const slices = starts.map((from, place): ScanSlice => {
    const end = starts[place + 1]?.offset ?? offsetTo
    return { partition, directory, from, offsetFrom: Math.max(offsetFrom, from.offset), offsetTo: end }
  })
  return slices.filter((slice) => slice.offsetTo > slice.offsetFrom)
}

/** Reads a slice through the user's function. */
export async function scan(request: ScanRequest): Promise<ScanReply> {
  const source = new SliceSource(await loadFileSystem(request.fileSystem), request)
  try {
    const { topic, partition, args } = request
    const map = await loadMap(request.module)
    return { ok: true, part: await map(source.batches(), { topic, partition, args }) }
  } catch (error) {
    return { ok: false, isUsers: source.failure !== error, error: encodeError(error) }
  } finally {
    source.close()
  }
}

async function loadMap(module: string): Promise<ScanMap> {
  const { default: map } = (await import(module)) as { default?: unknown }
  if (typeof map === 'function') return map as ScanMap
  throw new TypeError(`${module} has no default export that is a function`)
}

class SliceSource {
  /** What reading failed with, which is not the user's. */
  failure: unknown
  readonly #request: ScanRequest
  readonly #reader: SegmentReader
  readonly #stop: Int32Array

  constructor(fs: FileSystem, request: ScanRequest) {
    this.#request = request
    this.#reader = new SegmentReader(fs, request.directory, { skip: request.skip })
    this.#stop = new Int32Array(request.stop)
  }

  /** Batches and their views are valid until the next one is asked for. */
  *batches(): Generator<Batch | Gap, void, undefined> {
    const { from, partition, codec, offsetFrom, offsetTo } = this.#request
    let region = Region.allocateHashed(READ_CHUNK_BYTES)
    for (let position = from; position.offset < offsetTo; ) {
      const filled = this.#fill(position, region)
      if (filled.bytesNeeded !== undefined) region = Region.allocateHashed(filled.bytesNeeded)
      position = filled.next
      if (filled.gap !== undefined) yield new Gap(filled.gap, partition)
      for (let at = 0; at < filled.bytes; ) {
        const end = at + batchLength(region, at)
        yield new Batch(region, at, end, partition, CODECS[codec], offsetFrom)
        at = end
      }
      if (filled.bytes === 0 && filled.gap === undefined && filled.bytesNeeded === undefined) return
    }
  }

  #fill(position: ReadPosition, region: Region): ReturnType<SegmentReader['fill']> {
    try {
      if (Atomics.load(this.#stop, 0) !== 0) throw new Error('nobody wants the result any more')
      return this.#reader.fill(position, region, this.#request.offsetTo, true)
    } catch (error) {
      this.failure = error
      throw error
    }
  }

  close(): void {
    this.#reader.close()
  }
}
