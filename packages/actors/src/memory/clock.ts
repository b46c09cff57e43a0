import { performance } from 'node:perf_hooks'

// `performance.now()` counts from each thread's own start; the system's monotonic clock is one for all of them.
const threadStartMs = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** Milliseconds of a monotonic clock that all threads of the process share. */
export function sharedNowMs(): number {
  return threadStartMs + performance.now()
}
