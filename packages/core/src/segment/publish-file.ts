import path from 'node:path'
import type { FileSystem } from '../storage/file-system.js'
import { TEMPORARY_SUFFIX } from './segment-name.js'

/** Gives the directory a file of that name and content, durably, in place of an older one: whole or not at all. */
export function publishFile(fs: FileSystem, directory: string, fileName: string, bytes: Uint8Array): void {
  const name = path.join(directory, fileName)
  const temporary = name + TEMPORARY_SUFFIX
  if (fs.exists(temporary)) fs.remove(temporary)
  const file = fs.open(temporary, 'create')
  try {
    file.write(bytes, 0, bytes.length, 0)
    file.sync()
  } finally {
    file.close()
  }
  fs.rename(temporary, name)
  fs.syncDirectory(directory)
}
