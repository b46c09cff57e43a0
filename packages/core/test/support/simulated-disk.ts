import path from 'node:path'
import type { FileSystem, OpenFile } from '#core/storage/file-system.js'
import { below, type Random } from './random.js'
import { SimulatedDirectory } from './simulated-directory.js'
import { SECTOR_BYTES, SimulatedFile } from './simulated-file.js'

export type { Random } from './random.js'

/** What can go wrong. The first five may be planned for a certain call; all are counted. */
export type Fault =
  /** A call fails with EIO and has no effect. */
  | 'read error'
  | 'write error'
  | 'metadata error'
  /** The first bytes of a write are written, then it fails with EIO. */
  | 'short write'
  /** A sync fails with EIO; the dirty pages are dropped. */
  | 'sync error'
  | 'directory sync error'
  /** The disk is full: a write ends at some byte with ENOSPC, and no file can be made. */
  | 'disk full'
  | 'process died'
  | 'power lost'
  | 'sector lost'
  | 'directory change lost'
  | 'page dropped'
  | 'bit rotten'

type Operation = 'read' | 'write' | 'metadata' | 'sync' | 'directory sync'

/**
 * A disk in memory. Fault model:
 * - Of what was written and not synced, each sector reaches the platter or does not, on its own, at any time, in any of
 *   the versions that it had; so does the file's length. Changes of a directory reach it in order up to any point, or each
 *   on its own, whatever was synced of the files in it. What was synced is there.
 * - A process may die before any of its calls, with or without the power.
 * - Any call may fail; a failed sync drops the dirty pages. The disk may be full at any byte. Bits may rot.
 * Calls that change or read anything are numbered, so that a fault can be planned for each.
 */
export class SimulatedDisk implements FileSystem {
  /** Calls that are left until the process dies. */
  callsLeft = Number.POSITIVE_INFINITY
  /** How likely a fault is, at each call that it can hit. */
  readonly rates = new Map<Fault, number>()
  /** A fault that is to come at a certain call, counted from 1; `wasPlaced` says whether it could be. */
  planned: { call: number; fault: 'error' | 'disk full' | 'short write' } | undefined
  wasPlaced = false
  /** Call, counted from 1, before which the process dies. */
  dieAt: number | undefined
  /** Whether the power goes when the process dies; its owner sees to it. */
  isPowerLostWithProcess = false
  calls = 0
  /** Bytes that can still be written to sectors that took no room before. */
  bytesFree = Number.POSITIVE_INFINITY
  readonly counts = new Map<Fault, number>()
  /** Is told of each call, for whoever looks into a failure. */
  trace: ((line: string) => void) | undefined
  readonly #random: Random
  #root = new SimulatedDirectory()
  #life = 0
  #isCalm = false

  /** `random` decides on faults that come by their rates. */
  constructor(random: Random = () => 1) {
    this.#random = random
  }

  /** Whether the process has died: whatever it calls from then on fails. */
  get isDead(): boolean {
    return this.callsLeft < 0
  }

  /** Runs without any fault, for those who check. */
  calmly<Result>(action: () => Result): Result {
    const was = this.#isCalm
    this.#isCalm = true
    try {
      return action()
    } finally {
      this.#isCalm = was
    }
  }

  /** Another disk with the same files, on which nothing fails. */
  clone(): SimulatedDisk {
    const copy = new SimulatedDisk(this.#random)
    copy.#root = this.#root.clone()
    return copy
  }

  /** A new process: whoever had files open has them no more. */
  restart(): void {
    this.#life++
    this.callsLeft = Number.POSITIVE_INFINITY
  }

  /** Turns the disk off and on again. */
  losePower(random: Random): void {
    this.restart()
    this.trace?.('POWER LOST')
    this.#count('power lost')
    const { sectorsLost, changesLost } = this.#root.losePower(random)
    this.#count('sector lost', sectorsLost)
    this.#count('directory change lost', changesLost)
  }

  /** Writes back some of what is dirty, as systems do in the background. */
  writeBack(random: Random): void {
    for (const file of this.#root.files()) file.writeBack(random)
  }

  /** Turns over a bit of one of the directory's files, but for those that are not in their place yet. Returns its name and the byte. */
  rot(directory: string, random: Random): { name: string; at: number } | undefined {
    const files: [string, SimulatedFile][] = []
    for (const [name, entry] of this.#directory(directory).entries) {
      if (name.endsWith('.tmp')) continue
      if (entry instanceof SimulatedFile && entry.cache.length > 0) files.push([name, entry])
    }
    if (files.length === 0) return undefined
    const [name, file] = files[below(random, files.length)]
    this.#count('bit rotten')
    return { name, at: file.rot(random) }
  }

  open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    this.#step(mode === 'create' ? 'metadata' : 'read', `open to ${mode} ${path.basename(file)}`)
    const directory = this.#directory(path.dirname(file))
    const name = path.basename(file)
    let node = directory.entries.get(name)
    if (mode === 'create') {
      if (node !== undefined) throw systemError('EEXIST', file)
      if (this.bytesFree <= 0 && !this.#isCalm) {
        this.#count('disk full')
        throw systemError('ENOSPC', 'the disk is full')
      }
      node = new SimulatedFile()
      directory.set(name, node)
    }
    if (node === undefined) throw systemError('ENOENT', file)
    if (!(node instanceof SimulatedFile)) throw systemError('EISDIR', file)
    return this.#handle(node, name)
  }

  #handle(node: SimulatedFile, name: string): OpenFile {
    const life = this.#life
    const step = (operation: Operation, what: string): Fault | undefined => {
      if (life !== this.#life) throw systemError('EBADF', 'a file from before the end of its process')
      return this.#step(operation, `${what} ${name}`)
    }
    const write = (source: Uint8Array, position: number): void => {
      const fault = step('write', `write ${source.length} at ${position} of`)
      const taken =
        fault === undefined ? this.#takeSpace(node, source.length, position) : below(this.#chance, source.length)
      node.write(source.subarray(0, taken), position)
      if (fault === 'disk full' || (fault === undefined && taken < source.length)) {
        if (fault === undefined) this.#count('disk full')
        throw systemError('ENOSPC', 'the disk is full')
      }
      if (fault === 'short write') throw systemError('EIO', 'a part of it was written')
    }
    return {
      read: (target, offset, length, position) => {
        step('read', `read ${length} at ${position} of`)
        const part = node.cache.subarray(position, position + length)
        target.set(part, offset)
        return part.length
      },
      write: (source, offset, length, position) => write(source.subarray(offset, offset + length), position),
      writeMany: (views, position) => write(Buffer.concat(views), position),
      sync: () => {
        if (step('sync', 'sync') === undefined) return node.sync()
        this.#count('page dropped', node.failSync(this.#chance))
        throw systemError('EIO', 'the sync failed')
      },
      truncate: (length) => {
        step('metadata', `truncate to ${length}`)
        node.resize(length)
      },
      size: () => node.cache.length,
      close() {},
    }
  }

  /** Chance that is there also where faults are planned. */
  readonly #chance: Random = () => {
    const number = this.#random()
    return number === 1 ? 0.5 : number
  }

  /** How much of a write the disk has room for. */
  #takeSpace(node: SimulatedFile, bytes: number, position: number): number {
    for (let at = position; at < position + bytes; ) {
      const sector = Math.floor(at / SECTOR_BYTES)
      const next = Math.min((sector + 1) * SECTOR_BYTES, position + bytes)
      if (!node.allocated.has(sector)) {
        if (this.bytesFree < next - at) return Math.min(at - position + Math.max(this.bytesFree, 0), bytes)
        this.bytesFree -= next - at
        node.bytesTaken += next - at
      }
      at = next
    }
    return bytes
  }

  list(directory: string): string[] {
    this.#step('read', 'list')
    return [...this.#directory(directory).entries.keys()]
  }

  makeDirectory(directory: string): void {
    const missing: string[] = []
    let at = path.resolve(directory)
    for (; this.#entry(at) === undefined; at = path.dirname(at)) missing.unshift(at)
    // As `NodeFileSystem` does it: each is durable before there is anything in it.
    this.syncDirectory(path.dirname(at))
    for (const name of missing) {
      this.#step('metadata', `makeDirectory ${name}`)
      this.#directory(path.dirname(name)).set(path.basename(name), new SimulatedDirectory())
      this.syncDirectory(path.dirname(name))
    }
  }

  syncDirectory(directory: string): void {
    if (this.#step('directory sync', `syncDirectory ${directory}`) !== undefined)
      throw systemError('EIO', 'the sync of a directory failed')
    this.#directory(directory).sync()
  }

  rename(from: string, to: string): void {
    this.#step('metadata', `rename to ${path.basename(to)}`)
    if (path.dirname(from) !== path.dirname(to)) throw systemError('EXDEV', to)
    const directory = this.#directory(path.dirname(from))
    if (!directory.entries.has(path.basename(from))) throw systemError('ENOENT', from)
    directory.rename(path.basename(from), path.basename(to))
  }

  remove(file: string): void {
    this.#step('metadata', `remove ${path.basename(file)}`)
    const directory = this.#directory(path.dirname(file))
    const entry = directory.entries.get(path.basename(file))
    if (entry === undefined) throw systemError('ENOENT', file)
    directory.remove(path.basename(file))
    if (entry instanceof SimulatedFile) this.bytesFree += entry.bytesTaken
  }

  /** One call for each file and directory, of which any may be the last. */
  removeTree(directory: string): void {
    const entry = this.#entry(directory)
    if (entry === undefined) return
    if (entry instanceof SimulatedDirectory) {
      for (const name of [...entry.entries.keys()]) this.removeTree(path.join(directory, name))
    }
    this.remove(directory)
  }

  exists(file: string): boolean {
    return this.#entry(file) !== undefined
  }

  #entry(name: string): SimulatedFile | SimulatedDirectory | undefined {
    let at: SimulatedFile | SimulatedDirectory | undefined = this.#root
    for (const part of path.resolve(name).split(path.sep)) {
      if (part === '') continue
      at = at instanceof SimulatedDirectory ? at.entries.get(part) : undefined
    }
    return at
  }

  #directory(name: string): SimulatedDirectory {
    const entry = this.#entry(name)
    if (entry === undefined) throw systemError('ENOENT', name)
    if (!(entry instanceof SimulatedDirectory)) throw systemError('ENOTDIR', name)
    return entry
  }

  /** Counts the call, and lets it fail where that is to be. Returns a fault that has effects before it fails. */
  #step(operation: Operation, what: string): Fault | undefined {
    if (this.#isCalm) return undefined
    this.calls++
    this.trace?.(`${this.calls} ${what}`)
    if (this.dieAt === this.calls) this.callsLeft = 0
    if ((operation !== 'read' || this.dieAt === this.calls) && --this.callsLeft < 0) {
      if (this.callsLeft === -1) this.#count('process died')
      throw systemError('EIO', 'the process died')
    }
    if (this.isDead) throw systemError('EIO', 'the process died')
    const fault = this.#faultOf(operation)
    if (fault === undefined) return undefined
    this.#count(fault)
    this.trace?.(`  ${fault}`)
    if (fault === 'read error' || fault === 'write error' || fault === 'metadata error') {
      throw systemError('EIO', fault)
    }
    return fault
  }

  #faultOf(operation: Operation): Fault | undefined {
    const { planned } = this
    if (planned?.call === this.calls) {
      const fault = planned.fault === 'error' ? ERRORS[operation] : operation === 'write' ? planned.fault : undefined
      this.wasPlaced = fault !== undefined
      return fault
    }
    const faults: Fault[] = operation === 'write' ? ['write error', 'short write', 'disk full'] : [ERRORS[operation]]
    return faults.find((fault) => this.rates.has(fault) && this.#random() < this.rates.get(fault)!)
  }

  #count(fault: Fault, by = 1): void {
    if (by > 0) this.counts.set(fault, (this.counts.get(fault) ?? 0) + by)
  }
}

const ERRORS: Record<Operation, Fault> = {
  read: 'read error',
  write: 'write error',
  metadata: 'metadata error',
  sync: 'sync error',
  'directory sync': 'directory sync error',
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
