import { below, type Random } from './random.js'
import { SimulatedFile } from './simulated-file.js'

export type Entry = SimulatedFile | SimulatedDirectory

interface EntryChange {
  name: string
  entry: Entry | undefined
}

/** What a loss of power took: files' sectors, and changes of directories. */
export interface PowerLoss {
  sectorsLost: number
  changesLost: number
}

/** A directory as programs see it, and as it is on the platter. */
export class SimulatedDirectory {
  entries = new Map<string, Entry>()
  durable = new Map<string, Entry>()
  /** Changes of entries since the last sync, oldest first; those that belong together are one array. */
  #pending: EntryChange[][] = []

  set(name: string, entry: Entry): void {
    this.#change([{ name, entry }])
  }

  remove(name: string): void {
    this.#change([{ name, entry: undefined }])
  }

  rename(from: string, to: string): void {
    this.#change([
      { name: from, entry: undefined },
      { name: to, entry: this.entries.get(from) },
    ])
  }

  sync(): void {
    this.durable = new Map(this.entries)
    this.#pending = []
  }

  #change(changes: EntryChange[]): void {
    apply(this.entries, changes)
    this.#pending.push(changes)
  }

  /** Copies what programs see and what is on the platter; what belongs to both is one thing in the copy, too. */
  clone(copies = new Map<Entry, Entry>()): SimulatedDirectory {
    const copy = new SimulatedDirectory()
    copies.set(this, copy)
    const copyOf = (entry: Entry): Entry => {
      const known = copies.get(entry)
      if (known !== undefined) return known
      const made = entry instanceof SimulatedDirectory ? entry.clone(copies) : entry.clone()
      copies.set(entry, made)
      return made
    }
    for (const [name, entry] of this.entries) copy.entries.set(name, copyOf(entry))
    for (const [name, entry] of this.durable) copy.durable.set(name, copyOf(entry))
    return copy
  }

  /** Leaves of the directory and of all below it what reached the platter. */
  losePower(random: Random, settled = new Set<Entry>()): PowerLoss {
    settled.add(this)
    const loss: PowerLoss = { sectorsLost: 0, changesLost: 0 }
    // Some systems keep the order of a directory's changes, some do not.
    const isInOrder = random() < 0.5
    const reached = below(random, this.#pending.length + 1)
    for (const [at, changes] of this.#pending.entries()) {
      if (isInOrder ? at < reached : random() < 0.5) apply(this.durable, changes)
      else loss.changesLost++
    }
    this.#pending = []
    this.entries = new Map(this.durable)
    for (const entry of this.entries.values()) {
      if (settled.has(entry)) continue
      settled.add(entry)
      if (entry instanceof SimulatedFile) loss.sectorsLost += entry.losePower(random).sectorsLost
      else {
        const below = entry.losePower(random, settled)
        loss.sectorsLost += below.sectorsLost
        loss.changesLost += below.changesLost
      }
    }
    return loss
  }

  /** All files in it and below it. */
  *files(): Generator<SimulatedFile> {
    for (const entry of this.entries.values()) {
      if (entry instanceof SimulatedFile) yield entry
      else yield* entry.files()
    }
  }
}

function apply(entries: Map<string, Entry>, changes: readonly EntryChange[]): void {
  for (const { name, entry } of changes) {
    if (entry === undefined) entries.delete(name)
    else entries.set(name, entry)
  }
}
