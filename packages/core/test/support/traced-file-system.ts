import path from 'node:path'
import type { FileSystem, OpenFile } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'

/** A call that changes the disk or makes something durable, with the base name of what it is about. */
export interface TracedCall {
  name:
    | 'create'
    | 'write'
    | 'truncate'
    | 'sync'
    | 'rename'
    | 'remove'
    | 'removeTree'
    | 'syncDirectory'
    | 'makeDirectory'
  file: string
}

/** The host's file system behind a gate: `before` sees each call and stops it by throwing. */
export class TracedFileSystem implements FileSystem {
  readonly #fs = new NodeFileSystem()
  readonly #before: (call: TracedCall) => void

  constructor(before: (call: TracedCall) => void) {
    this.#before = before
  }

  open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    if (mode === 'create') this.#note('create', file)
    const inner = this.#fs.open(file, mode)
    const note = (name: TracedCall['name']): void => this.#note(name, file)
    return {
      read: (target, offset, length, position) => inner.read(target, offset, length, position),
      write(source, offset, length, position) {
        note('write')
        inner.write(source, offset, length, position)
      },
      writeMany(views, position) {
        note('write')
        inner.writeMany(views, position)
      },
      sync() {
        note('sync')
        inner.sync()
      },
      truncate(length) {
        note('truncate')
        inner.truncate(length)
      },
      size: () => inner.size(),
      close: () => inner.close(),
    }
  }

  list(directory: string): string[] {
    return this.#fs.list(directory)
  }

  makeDirectory(directory: string): void {
    this.#note('makeDirectory', directory)
    this.#fs.makeDirectory(directory)
  }

  syncDirectory(directory: string): void {
    this.#note('syncDirectory', directory)
    this.#fs.syncDirectory(directory)
  }

  rename(from: string, to: string): void {
    this.#note('rename', to)
    this.#fs.rename(from, to)
  }

  remove(file: string): void {
    this.#note('remove', file)
    this.#fs.remove(file)
  }

  removeTree(directory: string): void {
    this.#note('removeTree', directory)
    this.#fs.removeTree(directory)
  }

  exists(file: string): boolean {
    return this.#fs.exists(file)
  }

  #note(name: TracedCall['name'], file: string): void {
    this.#before({ name, file: path.basename(file) })
  }
}

/** Writes the calls down as `create 0.log`; `calls` is the list so far. */
export function recordingFileSystem(): { fs: FileSystem; calls: string[] } {
  const calls: string[] = []
  return { fs: new TracedFileSystem(({ name, file }) => calls.push(`${name} ${file}`)), calls }
}

/** Dies before the `fatal`th call, counted from 1: that one and all later ones throw, as for a process that is gone. */
export function dyingFileSystem(fatal: number): { fs: FileSystem; hasDied: () => boolean } {
  let calls = 0
  const before = (): void => {
    if (++calls >= fatal) throw Object.assign(new Error(`died before call ${fatal}`), { code: 'EIO' })
  }
  return { fs: new TracedFileSystem(before), hasDied: () => calls >= fatal }
}
