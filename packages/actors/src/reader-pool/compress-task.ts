import { type Compression, compressNext, type FileSystem } from '@walrus-log/core'

/** One step of compressing a partition's sealed segments: see `compressNext`. */
export interface CompressRequest {
  partitionDirectory: string
  openBaseOffset: number
  done: number
  compression: Compression
  /** One word; whoever stores 1 there wants the step to end soon, with nothing changed. */
  stop: SharedArrayBuffer
}

export function compressStep(fs: FileSystem, request: CompressRequest): ReturnType<typeof compressNext> {
  const { partitionDirectory, openBaseOffset, done, compression } = request
  const stop = new Int32Array(request.stop)
  return compressNext(fs, partitionDirectory, openBaseOffset, done, compression, () => Atomics.load(stop, 0) === 1)
}
