import { createRequire, syncBuiltinESMExports } from 'node:module'
import type { Worker as NodeWorker } from 'node:worker_threads'
import { onTestFinished } from 'vitest'

const threads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof NodeWorker }

/** Watches which threads this process starts from now on, so that a test gets hold of those that a log keeps to itself. */
export function writerThreads(): { alive(): NodeWorker[] } {
  const original = threads.Worker
  const alive = new Set<NodeWorker>()
  threads.Worker = class extends original {
    constructor(...options: ConstructorParameters<typeof NodeWorker>) {
      super(...options)
      if (!/-?(writer|sync)\.actor\.js$/.test(String(options[0]))) return
      alive.add(this)
      this.once('exit', () => alive.delete(this))
    }
  }
  syncBuiltinESMExports()
  onTestFinished(() => {
    threads.Worker = original
    syncBuiltinESMExports()
  })
  return { alive: () => [...alive] }
}
