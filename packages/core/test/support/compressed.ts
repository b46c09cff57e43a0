import path from 'node:path'
import type { Compression } from '#core/compression/codec.js'
import { compressSegment } from '#core/segment/compress-segment.js'
import { isCompressed, openSegmentFile } from '#core/segment/segment-file.js'
import { indexFileName, segmentBases, segmentFileName } from '#core/segment/segment-name.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'

/** Compresses every sealed segment of a partition. Returns how many. */
export function compressAll(
  directory: string,
  { fs = new NodeFileSystem() as FileSystem, compression = 'zstd' as Compression } = {},
): number {
  const names = fs.list(directory)
  const sealed = segmentBases(names).filter((base) => names.includes(indexFileName(base)))
  return sealed.filter((base) => compressSegment(fs, directory, base, compression) === 'compressed').length
}

/** Base offsets of the segments that are compressed. */
export function compressedBases(directory: string, fs: FileSystem = new NodeFileSystem()): number[] {
  return segmentBases(fs.list(directory)).filter((base) => {
    const file = openSegmentFile(fs, path.join(directory, segmentFileName(base)), 'read')
    file.close()
    return isCompressed(file)
  })
}
