import { availableParallelism } from 'node:os'
import { type BackupReport, type CompactionPass, type CompressStep, ownWords, type WalrusError } from '@walrus-log/core'
import { Piscina } from 'piscina'
import { decodeError } from '../message/error-codec.js'
import type { BackupReply, BackupRequest } from './backup-task.js'
import type { CompactRequest } from './compact-task.js'
import type { CompressRequest } from './compress-task.js'
import type { KeepReply, KeepRequest } from './keep-tasks.js'
import type { AheadRequest, FillReply, FillRequest, StoreReply, StoreRequest } from './tasks.js'

/** An idle pool thread is given back after this long; a worker costs some 25 ms to start. */
const IDLE_MS = 10_000

/** Plain and distributive: a request without what the pool adds to each. */
type WithoutPlace<Request> = Request extends unknown ? Omit<Request, 'fileSystem' | 'directory'> : never

/**
 * Threads for what may wait for a disk but is no writer's business: cold reads for the main thread, checking of
 * checksums, and the topics' settings. Stateless tasks on piscina's pool; owned by the host.
 */
export class ReaderPool {
  readonly #pool: Piscina
  readonly #directory: string
  readonly #fileSystem: string | undefined

  constructor(directory: string, fileSystem: string | undefined) {
    this.#directory = directory
    this.#fileSystem = fileSystem
    this.#pool = new Piscina({
      filename: new URL('./tasks.js', import.meta.url).href,
      minThreads: 0,
      maxThreads: Math.max(2, availableParallelism()),
      idleTimeout: IDLE_MS,
      execArgv: [],
    })
  }

  fill(request: FillRequest): Promise<FillReply> {
    return this.#pool.run(request, { name: 'fill' })
  }

  ahead(request: AheadRequest): Promise<boolean> {
    return this.#pool.run(request, { name: 'ahead' })
  }

  /** Throws the task's own error. */
  async store(request: WithoutPlace<StoreRequest>): Promise<Extract<StoreReply, { ok: true }>> {
    const task = { ...request, fileSystem: this.#fileSystem, directory: this.#directory }
    const reply: StoreReply = await this.#pool.run(task, { name: 'store' })
    if (!reply.ok) throw decodeError(reply.error)
    return { ...reply, config: ownWords(reply.config) }
  }

  /** Runs a backup to its end, and tells how far it is over the port. Throws the task's own error. */
  async backup(request: WithoutPlace<BackupRequest>): Promise<BackupReport | 'stopped'> {
    const task = { ...request, fileSystem: this.#fileSystem, directory: this.#directory }
    const reply: BackupReply = await this.#pool.run(task, { name: 'backup', transferList: [request.progress] })
    if (!reply.ok) throw decodeError(reply.error)
    return reply.report
  }

  /** Forgets: see `keep-tasks.ts`. Throws the task's own error. */
  async keep(request: KeepRequest): Promise<KeepReply> {
    return (await this.store({ call: 'keep', keep: request })).kept!
  }

  /** Compacts a partition by key: see `compact-task.ts`. Throws the task's own error. */
  async compact(request: CompactRequest): Promise<CompactionPass> {
    return (await this.store({ call: 'compact', compact: request })).compacted!
  }

  /** Compresses one segment: see `compress-task.ts`. Throws the task's own error, but not the segment's. */
  async compress(request: CompressRequest): Promise<CompressStep> {
    const { error, ...step } = (await this.store({ call: 'compress', compress: request })).compressed!
    return { ...step, error: error && (decodeError(error) as WalrusError) }
  }

  /** Waits for running tasks and ends the threads. */
  async close(): Promise<void> {
    await this.#pool.close()
  }
}
