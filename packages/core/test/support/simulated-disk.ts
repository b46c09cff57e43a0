import path from 'node:path'
import type { FileSystem, OpenFile } from '#core/storage/file-system.js'

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512

/** A number in [0, 1), from whoever decides what the disk does. */
export type Random = () => number

interface FileNode {
  /** What programs read: the page cache. */
  bytes: Buffer
  /** What the last sync left on the platter. */
  durable: Buffer
}

type EntryChange = { name: string; node: FileNode | undefined }

interface DirectoryNode {
  entries: Map<string, FileNode>
  durable: Map<string, FileNode>
  /** Changes of entries since the last sync of the directory, oldest first; one that belongs together is one array. */
  pending: EntryChange[][]
}

/**
 * A disk in memory that can lose its power. Fault model: of what was written and not synced, each sector reaches the
 * platter or does not, on its own; so does the file's length. Changes of a directory reach it in order, up to any point,
 * whatever was synced of the files in it. What was synced is there. A process may also die before any of its calls.
 */
export class SimulatedDisk implements FileSystem {
  /** Calls that are left until the process dies. */
  callsLeft = Number.POSITIVE_INFINITY
  readonly #directories = new Map<string, DirectoryNode>()
  #life = 0

  /** Turns the disk off and on again. Whoever had files open has them no more. */
  losePower(random: Random): void {
    this.#life++
    this.callsLeft = Number.POSITIVE_INFINITY
    const settled = new Set<FileNode>()
    for (const directory of this.#directories.values()) {
      const reached = Math.floor(random() * (directory.pending.length + 1))
      for (const changes of directory.pending.slice(0, reached)) apply(directory.durable, changes)
      directory.entries = new Map(directory.durable)
      directory.pending = []
      for (const node of directory.entries.values()) {
        if (!settled.has(node)) settle(node, random)
        settled.add(node)
      }
    }
  }

  open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    const directory = this.#directory(path.dirname(file))
    const name = path.basename(file)
    let node = directory.entries.get(name)
    if (mode === 'create') {
      this.#step()
      if (node !== undefined) throw systemError('EEXIST', file)
      node = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) }
      this.#change(directory, [{ name, node }])
    }
    if (node === undefined) throw systemError('ENOENT', file)
    return this.#handle(node)
  }

  #handle(node: FileNode): OpenFile {
    const life = this.#life
    const step = (): void => {
      if (life !== this.#life) throw systemError('EBADF', 'a file from before the power failure')
      this.#step()
    }
    const write = (source: Uint8Array, position: number): void => {
      step()
      if (position + source.length > node.bytes.length) node.bytes = resized(node.bytes, position + source.length)
      node.bytes.set(source, position)
    }
    return {
      read: (target, offset, length, position) => {
        const part = node.bytes.subarray(position, position + length)
        target.set(part, offset)
        return part.length
      },
      write: (source, offset, length, position) => write(source.subarray(offset, offset + length), position),
      writeMany: (views, position) => write(Buffer.concat(views), position),
      sync() {
        step()
        node.durable = Buffer.from(node.bytes)
      },
      truncate(length) {
        step()
        node.bytes = resized(node.bytes, length)
      },
      size: () => node.bytes.length,
      close() {},
    }
  }

  list(directory: string): string[] {
    return [...this.#directory(directory).entries.keys()]
  }

  makeDirectory(directory: string): void {
    this.#step()
    if (this.#directories.has(directory)) return
    this.#directories.set(directory, { entries: new Map(), durable: new Map(), pending: [] })
  }

  syncDirectory(directory: string): void {
    this.#step()
    const node = this.#directory(directory)
    node.durable = new Map(node.entries)
    node.pending = []
  }

  rename(from: string, to: string): void {
    this.#step()
    const directory = this.#directory(path.dirname(from))
    const node = directory.entries.get(path.basename(from))
    if (node === undefined) throw systemError('ENOENT', from)
    this.#change(directory, [
      { name: path.basename(from), node: undefined },
      { name: path.basename(to), node },
    ])
  }

  remove(file: string): void {
    this.#step()
    const directory = this.#directory(path.dirname(file))
    if (!directory.entries.has(path.basename(file))) throw systemError('ENOENT', file)
    this.#change(directory, [{ name: path.basename(file), node: undefined }])
  }

  removeTree(directory: string): void {
    this.#step()
    this.#directories.delete(directory)
  }

  exists(file: string): boolean {
    return this.#directories.get(path.dirname(file))?.entries.has(path.basename(file)) ?? this.#directories.has(file)
  }

  #change(directory: DirectoryNode, changes: EntryChange[]): void {
    apply(directory.entries, changes)
    directory.pending.push(changes)
  }

  #directory(name: string): DirectoryNode {
    const node = this.#directories.get(name)
    if (node === undefined) throw systemError('ENOENT', name)
    return node
  }

  #step(): void {
    if (--this.callsLeft < 0) throw systemError('EIO', 'the process died')
  }
}

function apply(entries: Map<string, FileNode>, changes: EntryChange[]): void {
  for (const { name, node } of changes) {
    if (node === undefined) entries.delete(name)
    else entries.set(name, node)
  }
}

/** Leaves of the file what reached the platter. */
function settle(node: FileNode, random: Random): void {
  const length = random() < 0.5 ? node.bytes.length : node.durable.length
  const wanted = resized(node.bytes, length)
  const bytes = resized(node.durable, length)
  // Now and then a whole file's sectors share one fate; else each has its own.
  const chance = random()
  const odds = chance < 0.2 ? 0 : chance < 0.4 ? 1 : 0.5
  for (let at = 0; at < length; at += SECTOR_BYTES) {
    if (random() < odds) wanted.copy(bytes, at, at, Math.min(at + SECTOR_BYTES, length))
  }
  node.bytes = bytes
  node.durable = Buffer.from(bytes)
}

function resized(bytes: Buffer, length: number): Buffer {
  if (length <= bytes.length) return Buffer.from(bytes.subarray(0, length))
  const larger = Buffer.alloc(length)
  bytes.copy(larger)
  return larger
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
