import path from 'node:path'
import {
  type CompactionPass,
  type CompressStep,
  type CursorEntry,
  CursorTable,
  cursorCopies,
  type Durability,
  type FileSystem,
  fileBytes,
  loadIndex,
  loadRegistry,
  loadState,
  openWatermarks,
  ownWords,
  type ProducerOpening,
  type ProducerRegistry,
  type ReadGap,
  type ReadPosition,
  Region,
  readCursorLog,
  registerProducers,
  SegmentReader,
  segmentBases,
  segmentFileName,
  systemErrorCode,
  type TopicConfig,
  type TopicRequest,
  TopicStore,
  type TopicView,
  trimCursorLog,
  viewTopic,
  type WasmMemory,
  type WatermarksHeader,
  withCode,
} from '@walrus-log/core'
import { encodeError } from '../message/error-codec.js'
import { loadFileSystem } from '../writer/file-system.js'
import type { EncodedError } from '../writer/messages.js'
import { type CompactRequest, compactPass } from './compact-task.js'
import { type CompressRequest, compressStep } from './compress-task.js'
import { type KeepReply, type KeepRequest, keep } from './keep-tasks.js'
import { fillAhead } from './read-ahead.js'
import type { WindowRingMemory } from './window-ring.js'

export { backup } from './backup-task.js'

// What the threads of the reader pool do. Each task opens what it needs and leaves nothing open but a few read-only
// descriptors, so that any thread can do any task.

/** Reads a partition's batches into shared memory: see `SegmentReader.fill`. */
export interface FillRequest {
  fileSystem: string | undefined
  /** The partition's slot: a topic of the same name that is made after this one was deleted has another. */
  slot: number
  directory: string
  /** Show gaps in place of damage. */
  skip: boolean
  from: ReadPosition | { offset: number } | { timestampMs: number }
  memory: WasmMemory | SharedArrayBuffer
  highWatermark: number
}

/** Fills windows ahead of a reader: see `ReadAhead`. */
export interface AheadRequest extends Omit<FillRequest, 'from' | 'memory'> {
  from: ReadPosition
  ring: WindowRingMemory
}

export type FillReply =
  | { ok: true; bytes: number; start: ReadPosition; next: ReadPosition; bytesNeeded?: number; gap?: ReadGap }
  | { ok: false; error: EncodedError }

export type StoreRequest = { fileSystem: string | undefined; directory: string } & (
  | { call: 'directory' }
  | { call: 'prepare'; opened: WatermarksHeader }
  | { call: 'open'; name: string; request: TopicRequest; defaults: { durability: Durability } }
  | { call: 'get'; name: string }
  | { call: 'producers'; name: string; openings: ProducerOpening[] }
  | { call: 'list' }
  | { call: 'view'; name: string; skip: boolean }
  | { call: 'first-offsets'; directories: string[] }
  | { call: 'delete'; name: string }
  | { call: 'keep'; keep: KeepRequest }
  | { call: 'compact'; compact: CompactRequest }
  | { call: 'compress'; compress: CompressRequest }
  | { call: 'read-cursors'; partitionDirectory: string; from: number | undefined; end: number }
  | { call: 'trim-cursors'; partitionDirectory: string; before: number }
  | { call: 'size'; partitionDirectory: string; openBaseOffset: number; openBytes: number }
)

/** What `compressNext` says, with its error as errors travel. */
export interface CompressReply extends Omit<CompressStep, 'error'> {
  error?: EncodedError
}

export type StoreReply =
  | {
      ok: true
      config?: TopicConfig
      topics?: TopicConfig[]
      size?: PartitionSize
      kept?: KeepReply
      compacted?: CompactionPass
      compressed?: CompressReply
      registry?: ProducerRegistry
      producers?: ({ id: number; epoch: number } | EncodedError)[]
      cursors?: CursorEntry[]
      watermarks?: Map<string, number>
      view?: TopicView
      offsetsFirst?: number[]
    }
  | { ok: false; error: EncodedError }

/** Readers that a pool thread keeps open, by partition; the oldest goes first. */
const READERS_MAX = 16
const readers = new Map<string, SegmentReader>()
/** One that was not used for so long is closed: the file that it holds may be removed, and its space is wanted. */
const READER_IDLE_MS = 5_000
const usedMs = new WeakMap<SegmentReader, number>()

export async function fill(request: FillRequest): Promise<FillReply> {
  try {
    const reader = readerOf(await loadFileSystem(request.fileSystem), request)
    const start = locate(reader, request.from)
    const filled = reader.fill(start, new Region(request.memory), request.highWatermark, true)
    return { ok: true, start, ...filled }
  } catch (error) {
    forget(request)
    return { ok: false, error: encodeError(withCode(error)) }
  }
}

/** Ends without a word where something is wrong: whoever asks for that place with `fill` is told. */
export async function ahead(request: AheadRequest): Promise<boolean> {
  try {
    const reader = readerOf(await loadFileSystem(request.fileSystem), request)
    const { ring, from, highWatermark } = request
    return fillAhead(ring, from, (position, region, verify) => reader.fill(position, region, highWatermark, verify))
  } catch {
    forget(request)
    return false
  }
}

function forget(request: ReaderKey): void {
  readers.get(keyOf(request))?.close()
  readers.delete(keyOf(request))
}

/** Finds where to begin; a full position is taken as it is. */
export function locate(reader: SegmentReader, from: FillRequest['from']): ReadPosition {
  if ('timestampMs' in from) return reader.locateTimestamp(from.timestampMs)
  return 'position' in from ? from : reader.locate(from.offset)
}

type ReaderKey = Omit<FillRequest, 'from' | 'memory'>

const keyOf = ({ slot, directory }: ReaderKey): string => `${slot} ${directory}`

function closeIdleReaders(): void {
  const idleSinceMs = performance.now() - READER_IDLE_MS
  for (const [key, reader] of readers) {
    if (usedMs.get(reader)! > idleSinceMs) return
    reader.close()
    readers.delete(key)
  }
}

function readerOf(fs: FileSystem, request: ReaderKey): SegmentReader {
  closeIdleReaders()
  const key = keyOf(request)
  let reader = readers.get(key)
  if (reader === undefined) {
    reader = new SegmentReader(fs, request.directory, { skip: request.skip })
    if (readers.size >= READERS_MAX) {
      const [oldest, old] = readers.entries().next().value!
      old.close()
      readers.delete(oldest)
    }
  } else {
    readers.delete(key)
  }
  readers.set(key, reader)
  usedMs.set(reader, performance.now())
  return reader
}

/** Looks after the namespace's directory and its topics' settings, so that the host's thread waits for no disk. */
export async function store(sent: StoreRequest): Promise<StoreReply> {
  const request = ownWords(sent)
  try {
    const fs = await loadFileSystem(request.fileSystem)
    const topics = new TopicStore(fs, request.directory)
    switch (request.call) {
      case 'directory':
        fs.makeDirectory(request.directory)
        return { ok: true }
      case 'prepare':
        topics.finishDeletions()
        return { ok: true, watermarks: openWatermarks(fs, request.directory, request.opened) }
      case 'open':
        return {
          ok: true,
          config: topics.open(request.name, request.request, request.defaults, Date.now()),
          registry: loadRegistry(fs, path.join(request.directory, request.name)),
        }
      case 'get':
        return { ok: true, config: topics.get(request.name) }
      case 'producers': {
        topics.get(request.name)
        const { openings } = request
        const { opened, registry } = registerProducers(fs, path.join(request.directory, request.name), openings)
        const producers = opened.map((producer) => (producer instanceof Error ? encodeError(producer) : producer))
        return { ok: true, producers, registry }
      }
      case 'view':
        return { ok: true, view: viewTopic(fs, request.directory, request.name, request.skip) }
      case 'first-offsets':
        return { ok: true, offsetsFirst: request.directories.map((directory) => loadState(fs, directory).offsetFirst) }
      case 'list':
        return { ok: true, topics: topics.list() }
      case 'delete':
        waitBeyond(topics.delete(request.name, Date.now()))
        return { ok: true }
      case 'keep':
        return { ok: true, kept: keep(fs, request.keep) }
      case 'compact':
        return { ok: true, compacted: compactPass(fs, request.compact) }
      case 'compress': {
        const { error, ...step } = compressStep(fs, request.compress)
        return { ok: true, compressed: { ...step, error: error && encodeError(error) } }
      }
      case 'read-cursors': {
        const table = new CursorTable()
        readCursorLog(fs, request.partitionDirectory, { from: request.from, end: request.end }, table)
        return { ok: true, cursors: cursorCopies(table) }
      }
      case 'trim-cursors':
        trimCursorLog(fs, request.partitionDirectory, request.before)
        return { ok: true }
      case 'size':
        return { ok: true, size: partitionSize(fs, request) }
    }
  } catch (error) {
    return { ok: false, error: encodeError(withCode(error)) }
  }
}

/** A clock that was set back further than this is not waited for. */
const CLOCK_BACK_MS_MAX = 1000

/** Blocks this thread until the clock is past `timeMs`, so that a topic that is made next is later than the deleted one. */
function waitBeyond(timeMs: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let leftMs = timeMs - Date.now(); leftMs >= 0 && leftMs < CLOCK_BACK_MS_MAX; leftMs = timeMs - Date.now()) {
    Atomics.wait(pause, 0, 0, leftMs + 1)
  }
}

interface PartitionSize {
  /** Of the segments as they were written. */
  bytes: number
  /** Of their files, some of which may be compressed. */
  storedBytes: number
  segments: number
}

function partitionSize(
  fs: FileSystem,
  request: { partitionDirectory: string; openBaseOffset: number; openBytes: number },
): PartitionSize {
  const { partitionDirectory, openBaseOffset, openBytes } = request
  if (!fs.exists(partitionDirectory)) return { bytes: 0, storedBytes: 0, segments: 0 }
  const names = fs.list(partitionDirectory)
  let [bytes, storedBytes] = [0, 0]
  const bases = segmentBases(names)
  for (const base of bases) {
    try {
      // Of a full segment that is not sealed yet, what is reserved behind its data is counted in.
      const stored =
        base === openBaseOffset ? openBytes : fileBytes(fs, path.join(partitionDirectory, segmentFileName(base)))
      const index = base === openBaseOffset ? undefined : loadIndex(fs, partitionDirectory, base)
      storedBytes += stored
      bytes += index?.dataBytes ?? stored
    } catch (error) {
      // Forgotten since the directory was listed.
      if (systemErrorCode(error) !== 'ENOENT') throw error
    }
  }
  return { bytes, storedBytes, segments: bases.length }
}
