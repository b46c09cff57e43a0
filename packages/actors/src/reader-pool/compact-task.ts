import { type CompactionPass, compactPartition, type FileSystem } from '@walrus-log/core'

/** One pass of compaction over a partition's sealed segments: see `compactPartition`. */
export interface CompactRequest {
  partitionDirectory: string
  openBaseOffset: number
  deleteGraceMs: number
  nowMs: number
  /** One word; whoever stores 1 there wants the pass to end soon, to begin anew later. */
  stop: SharedArrayBuffer
}

export function compactPass(fs: FileSystem, request: CompactRequest): CompactionPass {
  const { partitionDirectory, openBaseOffset, deleteGraceMs, nowMs } = request
  const stop = new Int32Array(request.stop)
  return compactPartition({
    fs,
    directory: partitionDirectory,
    openBase: openBaseOffset,
    deleteGraceMs,
    nowMs,
    isStopped: () => Atomics.load(stop, 0) === 1,
  })
}
