import path from 'node:path'
import { systemErrorCode } from '../errors.js'
import type { FileSystem, OpenFile } from './file-system.js'

const TEMPORARY_SUFFIX = '.tmp'

/** Puts a small file in its place whole and durably: after a crash it holds either all of `bytes`, or what it held. */
export function publishFile(fs: FileSystem, directory: string, name: string, bytes: Uint8Array): void {
  const file = path.join(directory, name)
  const temporary = file + TEMPORARY_SUFFIX
  if (fs.exists(temporary)) fs.remove(temporary)
  const handle = fs.open(temporary, 'create')
  try {
    handle.write(bytes, 0, bytes.length, 0)
    handle.sync()
  } catch (error) {
    removeAgain(fs, temporary)
    throw error
  } finally {
    handle.close()
  }
  fs.rename(temporary, file)
  fs.syncDirectory(directory)
}

/**
 * Makes a file that is to take another's place, and has `write` fill and sync it. Where that gives nothing, or throws, the file
 * is taken away again; what is left of it all the same, the next open removes.
 */
export function writeBeside<Result>(
  fs: FileSystem,
  temporary: string,
  write: (file: OpenFile) => Result | undefined,
): Result | undefined {
  if (fs.exists(temporary)) fs.remove(temporary)
  let result: Result | undefined
  try {
    const file = fs.open(temporary, 'create')
    try {
      result = write(file)
    } finally {
      file.close()
    }
    return result
  } finally {
    if (result === undefined) removeAgain(fs, temporary)
  }
}

/** On a full disk, what is there of the file would be in the way of those that could still be written. */
function removeAgain(fs: FileSystem, temporary: string): void {
  try {
    fs.remove(temporary)
  } catch {
    // The next one of its name begins by removing it.
  }
}

/** A small file's bytes; of one that is longer, one byte more than `bytesMax`, which is enough for its decoder to refuse it. */
export function readWholeFile(fs: FileSystem, file: string, bytesMax = Number.MAX_SAFE_INTEGER): Uint8Array {
  const handle = fs.open(file, 'read')
  try {
    const bytes = new Uint8Array(Math.min(handle.size(), bytesMax + 1))
    handle.read(bytes, 0, bytes.length, 0)
    return bytes
  } catch (error) {
    // Of what was opened as a file and is a directory, the system does not say the name.
    if (systemErrorCode(error) === 'EISDIR') Object.assign(error as Error, { path: file })
    throw error
  } finally {
    handle.close()
  }
}

/** A file's length. */
export function fileBytes(fs: FileSystem, file: string): number {
  const handle = fs.open(file, 'read')
  try {
    return handle.size()
  } finally {
    handle.close()
  }
}
