import {
  batchLength,
  batchTimestampMax,
  decideRetention,
  type FileSystem,
  loadSegmentHeader,
  loadState,
  type OpenPlace,
  READ_CHUNK_BYTES,
  Region,
  type Retention,
  recordOffsets,
  removeForgotten,
  SegmentReader,
  systemErrorCode,
  writeState,
} from '@walrus-log/core'

// The reader pool's part in forgetting. The host calls these for one partition at a time, in this order: `retain` or
// `trim` make the new first offset durable, the host tells all threads, `remove` takes the files.

export type KeepRequest = { partitionDirectory: string; open: OpenPlace } & (
  | { step: 'retain'; retention: Retention; nowMs: number }
  | { step: 'trim'; before: number | { timestampMs: number } }
  | { step: 'remove' }
)

export interface KeepReply {
  /** The partition's first offset by its state file; never moves back. */
  offsetFirst: number
  /** When there is more to forget by age. */
  dueMs?: number
  /** When the segment that takes writes was begun; undefined where there is none. */
  openCreatedMs?: number
  /** Segments removed. */
  removed: number
}

export function keep(fs: FileSystem, request: KeepRequest): KeepReply {
  const { partitionDirectory: directory, open } = request
  if (request.step === 'remove') {
    return {
      offsetFirst: loadState(fs, directory).offsetFirst,
      removed: removeForgotten(fs, directory, open.baseOffset),
    }
  }
  const state = loadState(fs, directory)
  let offsetFirst: number
  let dueMs: number | undefined
  if (request.step === 'retain') {
    const plan = decideRetention(fs, directory, open, request.retention, request.nowMs)
    offsetFirst = plan.offsetFirst
    dueMs = plan.dueMs
  } else {
    const { before } = request
    offsetFirst = typeof before === 'number' ? before : offsetOfTime(fs, directory, open, before.timestampMs)
  }
  offsetFirst = Math.max(offsetFirst, state.offsetFirst)
  if (offsetFirst > state.offsetFirst) writeState(fs, directory, { offsetFirst })
  return { offsetFirst, dueMs, openCreatedMs: createdMsOf(fs, directory, open.baseOffset), removed: 0 }
}

/** The first offset whose record is of that time or later; the end where there is none. */
function offsetOfTime(fs: FileSystem, directory: string, open: OpenPlace, timestampMs: number): number {
  const reader = new SegmentReader(fs, directory)
  try {
    let region = Region.allocateHashed(READ_CHUNK_BYTES)
    for (let from = reader.locateTimestamp(timestampMs); ; ) {
      const filled = reader.fill(from, region, open.offset, true)
      if (filled.bytesNeeded !== undefined) region = Region.allocateHashed(filled.bytesNeeded)
      else if (filled.bytes === 0 && filled.gap === undefined) return open.offset
      for (let at = 0; at < filled.bytes; at += batchLength(region, at)) {
        if (batchTimestampMax(region, at) < timestampMs) continue
        for (const record of recordOffsets(region, at)) if (record.timestamp >= timestampMs) return record.offset
      }
      from = filled.next
    }
  } finally {
    reader.close()
  }
}

function createdMsOf(fs: FileSystem, directory: string, base: number): number | undefined {
  try {
    return loadSegmentHeader(fs, directory, base)?.createdMs
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
