import { promises as files } from 'node:fs'
import path from 'node:path'
import { isLockHeld, systemErrorCode } from '@walrus-log/core'
import { LANE_HEAD_AT, LANE_RING_BYTES_AT, LANE_TAIL_AT, laneAt } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { openLanes } from '../writer/settlement.js'
import type { WalrusStats, WriterStats } from './stats.js'

/** A segment-writer thread as its process tells others of it. Counts are since the log was opened. */
export interface PublishedWriter extends Omit<WriterStats, 'partitions'> {
  /** How many it holds. */
  partitions: number
  /** Open lanes that lead to it, the bytes that they hold at most, and the bytes in them that it has not written. */
  lanes: number
  laneBytes: number
  laneBytesUsed: number
}

/** What the process that writes a log says of itself. */
export interface PublishedStats {
  pid: number
  /** Version of Node. */
  node: string
  /** When it said so; it says nothing while nothing changes. */
  timeMs: number
  writers: PublishedWriter[]
}

/** Lies in the namespace's directory while the log is open for writing. */
const STATS_FILE = 'stats.json'
const PUBLISH_MS = 1000

/**
 * Says once a second what the writers have counted, for `walrus stats --watch` in other processes: the host's thread reads
 * the counters that are there anyway, so that no writer does anything for it. Keeps no process alive.
 */
export class StatsPublisher {
  readonly #file: string
  readonly #collect: () => PublishedWriter[]
  readonly #timer: NodeJS.Timeout
  #said = ''
  #saying: Promise<void> | undefined

  constructor(directory: string, collect: () => PublishedWriter[]) {
    this.#file = path.join(directory, STATS_FILE)
    this.#collect = collect
    this.#timer = setInterval(() => this.#publish(), PUBLISH_MS)
    this.#timer.unref()
  }

  #publish(): void {
    const writers = this.#collect()
    if (writers.length === 0) return
    const now = JSON.stringify(writers)
    // A disk that is slower than a second misses one.
    if (now === this.#said || this.#saying !== undefined) return
    this.#said = now
    const stats: PublishedStats = { pid: process.pid, node: process.version, timeMs: Date.now(), writers }
    this.#saying = this.#write(`${JSON.stringify(stats)}\n`).finally(() => {
      this.#saying = undefined
    })
  }

  /** Whole, so that nobody reads a half. Nothing is synced, for nothing depends on it. */
  async #write(text: string): Promise<void> {
    try {
      await files.writeFile(`${this.#file}.tmp`, text)
      await files.rename(`${this.#file}.tmp`, this.#file)
    } catch {
      // Said with the next change.
      this.#said = ''
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#saying
    await files.rm(this.#file, { force: true }).catch(() => {})
  }
}

/** What was said last; undefined where the log is not open for writing, or has not been for a second. */
export async function readPublishedStats(directory: string): Promise<PublishedStats | undefined> {
  try {
    const stats = JSON.parse(await files.readFile(path.join(directory, STATS_FILE), 'utf8')) as PublishedStats
    // One that was killed has left its last word.
    return isAlive(directory, stats.pid) ? stats : undefined
  } catch {
    return undefined
  }
}

function isAlive(directory: string, pid: number): boolean {
  if (process.platform === 'linux') return isLockHeld(directory)
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return systemErrorCode(error) === 'EPERM'
  }
}

/** Of all writers; `stats` are the same process' own. */
export function publishedWriters(memory: SharedMemory, { writers }: WalrusStats): PublishedWriter[] {
  const { words } = memory
  return writers.map(({ partitions, ...counted }) => {
    const lanes = openLanes(memory, counted.writer)
    let laneBytes = 0
    let laneBytesUsed = 0
    for (const lane of lanes) {
      const at = laneAt(lane)
      laneBytes += words[at + LANE_RING_BYTES_AT]
      // The head first: so the tail is not behind it.
      const head = Atomics.load(words, at + LANE_HEAD_AT)
      laneBytesUsed += ((Atomics.load(words, at + LANE_TAIL_AT) - head) | 0) * 8
    }
    return { ...counted, partitions: partitions.length, lanes: lanes.length, laneBytes, laneBytesUsed }
  })
}
