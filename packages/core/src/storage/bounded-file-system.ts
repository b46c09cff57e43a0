import type { FileSystem, OpenFile } from './file-system.js'

/**
 * A file system that holds at most so many descriptors: the file that was idle longest is closed, and opened again when
 * it is asked for, which its holder does not notice. One thread's; what a call of it takes more (a directory that is
 * synced) is given back within the call.
 *
 * Nothing is lost by closing a file that was not synced: a sync through another descriptor covers what was written
 * through this one. A file that was removed or renamed meanwhile fails with `ENOENT` when it is asked for.
 *
 * Invariant: `#open.size <= #filesMax`; the map is in the order of use, the idlest first.
 */
export class BoundedFileSystem implements FileSystem {
  readonly #fs: FileSystem
  readonly #filesMax: number
  /** Descriptors in use. */
  readonly #open = new Map<BoundedFile, OpenFile>()

  constructor(fs: FileSystem, filesMax: number) {
    this.#fs = fs
    this.#filesMax = Math.max(filesMax, 1)
  }

  open(path: string, mode: 'read' | 'write' | 'create'): OpenFile {
    this.#makeRoom()
    const inner = this.#fs.open(path, mode)
    // A file is made once: whoever asks for it again finds it there.
    const file = new BoundedFile(this, path, mode === 'read' ? 'read' : 'write')
    this.#open.set(file, inner)
    return file
  }

  /** The descriptor of a file that is asked for now. */
  use(file: BoundedFile): OpenFile {
    let inner = this.#open.get(file)
    if (inner === undefined) {
      this.#makeRoom()
      inner = this.#fs.open(file.path, file.mode)
    } else {
      this.#open.delete(file)
    }
    this.#open.set(file, inner)
    return inner
  }

  release(file: BoundedFile): void {
    const inner = this.#open.get(file)
    this.#open.delete(file)
    inner?.close()
  }

  #makeRoom(): void {
    while (this.#open.size >= this.#filesMax) this.release(this.#open.keys().next().value!)
  }

  list(directory: string): string[] {
    return this.#fs.list(directory)
  }

  makeDirectory(directory: string): void {
    this.#fs.makeDirectory(directory)
  }

  syncDirectory(directory: string): void {
    this.#fs.syncDirectory(directory)
  }

  rename(from: string, to: string): void {
    this.#fs.rename(from, to)
  }

  remove(path: string): void {
    this.#fs.remove(path)
  }

  removeTree(directory: string): void {
    this.#fs.removeTree(directory)
  }

  exists(path: string): boolean {
    return this.#fs.exists(path)
  }
}

class BoundedFile implements OpenFile {
  readonly path: string
  readonly mode: 'read' | 'write'
  readonly #files: BoundedFileSystem

  constructor(files: BoundedFileSystem, path: string, mode: 'read' | 'write') {
    this.#files = files
    this.path = path
    this.mode = mode
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    return this.#files.use(this).read(target, offset, length, position)
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    this.#files.use(this).write(source, offset, length, position)
  }

  writeMany(views: Uint8Array[], position: number): void {
    this.#files.use(this).writeMany(views, position)
  }

  sync(): void {
    this.#files.use(this).sync()
  }

  truncate(length: number): void {
    this.#files.use(this).truncate(length)
  }

  size(): number {
    return this.#files.use(this).size()
  }

  close(): void {
    this.#files.release(this)
  }
}
