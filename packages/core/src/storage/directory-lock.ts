import fs from 'node:fs'
import path from 'node:path'
import { tryLock } from 'fs-native-extensions'
import { isDiskFull, WalrusError } from '../errors.js'

export const LOCK_FILE = 'LOCK'

/** Holds every other opener off a directory, in this process and in others, until `release` or the end of the process. */
export interface DirectoryLock {
  release(): void
}

/**
 * Takes the directory's lock, which the kernel holds for the open file: it ends with the process, however that ends, and
 * says nothing of a file that merely lies there. The file names the holder's process id for people and for the error.
 * Throws `LOCKED`.
 */
export function lockDirectory(directory: string): DirectoryLock {
  const file = path.join(directory, LOCK_FILE)
  const descriptor = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644)
  let locked = false
  try {
    locked = tryLock(descriptor)
    if (!locked) throw lockedBy(descriptor, directory)
    writeHolder(descriptor)
  } catch (error) {
    locked = false
    throw error
  } finally {
    if (!locked) fs.closeSync(descriptor)
  }
  let held = true
  return {
    release() {
      if (!held) return
      held = false
      fs.closeSync(descriptor)
    },
  }
}

/** In place, for which a full disk has room; where the file is new there, nobody is named. */
function writeHolder(descriptor: number): void {
  try {
    const text = `${process.pid}\n`
    fs.writeSync(descriptor, text, 0)
    fs.ftruncateSync(descriptor, text.length)
  } catch (error) {
    if (!isDiskFull(error)) throw error
  }
}

function lockedBy(descriptor: number, directory: string): WalrusError {
  const buffer = Buffer.alloc(32)
  const length = fs.readSync(descriptor, buffer, 0, buffer.length, 0)
  const pid = Number.parseInt(buffer.toString('utf8', 0, length), 10)
  const holder = Number.isNaN(pid) ? 'another opener' : pid === process.pid ? 'this process' : `process ${pid}`
  return new WalrusError('LOCKED', `${directory} is held by ${holder}; close it there, or open with readOnly: true`, {
    pid: Number.isNaN(pid) ? undefined : pid,
  })
}
