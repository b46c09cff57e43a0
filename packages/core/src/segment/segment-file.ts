import { CompressedFile } from '../compression/compressed-file.js'
import type { FileSystem, OpenFile } from '../storage/file-system.js'

/**
 * Opens a segment's file, whether it is compressed or not: what is read of it are the raw segment's bytes, at their
 * positions. With `write`, a raw one can be changed; see `isCompressed`. Throws `FORMAT_VERSION` for a codec that this
 * version does not know.
 */
export function openSegmentFile(fs: FileSystem, name: string, mode: 'read' | 'write'): OpenFile {
  const file = fs.open(name, mode)
  try {
    return CompressedFile.open(file, name) ?? file
  } catch (error) {
    file.close()
    throw error
  }
}

export const isCompressed = (file: OpenFile): file is CompressedFile => file instanceof CompressedFile
