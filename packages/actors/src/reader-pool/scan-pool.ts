import { Piscina } from 'piscina'
import type { ScanPlanRequest, ScanReply, ScanRequest } from './scan-task.js'

/**
 * Threads for one scan. A user's code runs in them, so that they are nobody else's: whatever it does to its thread, reads
 * of the log go on.
 */
export class ScanPool {
  readonly #pool: Piscina

  constructor(threads: number) {
    const filename = new URL('./scan-task.js', import.meta.url).href
    this.#pool = new Piscina({ filename, minThreads: 0, maxThreads: threads, execArgv: [] })
  }

  plan(request: ScanPlanRequest): Promise<ScanReply> {
    return this.#pool.run(request, { name: 'scanPlan' })
  }

  scan(request: ScanRequest): Promise<ScanReply> {
    return this.#pool.run(request, { name: 'scan' })
  }

  /** Ends the threads, also in the middle of something. */
  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
