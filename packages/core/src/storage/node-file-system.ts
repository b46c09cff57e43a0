import fs from 'node:fs'
import path from 'node:path'
import type { FileSystem, OpenFile } from './file-system.js'

const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const

/** More views a call than this, and Linux refuses (`IOV_MAX`). */
const WRITE_VIEWS_MAX = 1024

class NodeFile implements OpenFile {
  readonly #descriptor: number

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    let done = 0
    while (done < length) {
      const count = fs.readSync(this.#descriptor, target, offset + done, length - done, position + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    let done = 0
    while (done < length) {
      const count = fs.writeSync(this.#descriptor, source, offset + done, length - done, position + done)
      if (count === 0) throw shortWrite()
      done += count
    }
  }

  writeMany(views: Uint8Array[], position: number): void {
    let at = position
    for (let first = 0; first < views.length; first += WRITE_VIEWS_MAX) {
      const group = views.length <= WRITE_VIEWS_MAX ? views : views.slice(first, first + WRITE_VIEWS_MAX)
      let bytes = 0
      for (const view of group) bytes += view.length
      let written = fs.writevSync(this.#descriptor, group, at)
      if (written < bytes) {
        // The system took a part only: the rest goes view by view, where `write` repeats until all is taken.
        let start = 0
        for (const view of group) {
          const skip = Math.min(Math.max(written - start, 0), view.length)
          if (skip < view.length) this.write(view, skip, view.length - skip, at + start + skip)
          start += view.length
        }
        written = bytes
      }
      at += written
    }
  }

  sync(): void {
    fs.fdatasyncSync(this.#descriptor)
  }

  truncate(length: number): void {
    fs.ftruncateSync(this.#descriptor, length)
  }

  size(): number {
    return fs.fstatSync(this.#descriptor).size
  }

  close(): void {
    fs.closeSync(this.#descriptor)
  }
}

/** Makes it in its parent, unless it is there. */
function makeOneDirectory(directory: string): void {
  try {
    fs.mkdirSync(directory)
  } catch (error) {
    // Some file systems refuse before they look: whether it is there is what counts.
    if (!fs.existsSync(directory) || !fs.statSync(directory).isDirectory()) throw error
  }
}

function shortWrite(): Error {
  return Object.assign(new Error('the system wrote nothing and named no error'), { code: 'EIO' })
}

/** The host's own file system through `node:fs`. */
export class NodeFileSystem implements FileSystem {
  open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    return new NodeFile(fs.openSync(file, FLAGS[mode]))
  }

  list(directory: string): string[] {
    return fs.readdirSync(directory)
  }

  makeDirectory(directory: string): void {
    const missing: string[] = []
    let at = path.resolve(directory)
    for (; !fs.existsSync(at) && at !== path.dirname(at); at = path.dirname(at)) missing.unshift(at)
    // Refuses what is there and no directory.
    if (missing.length === 0) makeOneDirectory(at)
    // What is there already may come from a process that died before it could sync the parent.
    this.#syncIfReadable(path.dirname(at))
    for (const name of missing) {
      // Not by Node's recursive mkdir, which in some versions goes round without an end where the system says that an existing
      // parent is missing, as it does below /proc.
      makeOneDirectory(name)
      // Each is durable before there is anything in it, so that the next attempt has to look at the last one alone.
      this.syncDirectory(path.dirname(name))
    }
  }

  /** Who may not read a directory did not make what is in it. */
  #syncIfReadable(directory: string): void {
    try {
      this.syncDirectory(directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    }
  }

  syncDirectory(directory: string): void {
    const descriptor = fs.openSync(directory, 'r')
    try {
      fs.fsyncSync(descriptor)
    } catch (error) {
      // Windows and some network file systems cannot sync a directory; there is nothing to be done there.
      if (!['EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    } finally {
      fs.closeSync(descriptor)
    }
  }

  rename(from: string, to: string): void {
    fs.renameSync(from, to)
  }

  remove(file: string): void {
    fs.unlinkSync(file)
  }

  removeTree(directory: string): void {
    fs.rmSync(directory, { recursive: true, force: true })
  }

  exists(file: string): boolean {
    return fs.existsSync(file)
  }
}
