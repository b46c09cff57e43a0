import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** How busy the machine was with what is not this process, as shares of all its cores' time. */
export interface Disturbance {
  /** Other processes and the kernel's own threads. */
  others: number
  /** What the host gave to other guests. */
  stolen: number
}

/** Begins to watch; the function that is returned says what was there since. Zeros where the system does not tell. */
export function watchDisturbance(): () => Disturbance {
  const before = readTimes()
  const ownBefore = process.cpuUsage()
  return () => {
    const after = readTimes()
    if (before === undefined || after === undefined || after.total === before.total) return { others: 0, stolen: 0 }
    const own = process.cpuUsage(ownBefore)
    const total = after.total - before.total
    const ownTicks = ((own.user + own.system) / 1e6) * TICKS_PER_SECOND
    const busy = after.busy - before.busy
    return { others: Math.max(busy - ownTicks, 0) / total, stolen: (after.stolen - before.stolen) / total }
  }
}

/** Linux counts in these, whatever its own clock is. */
const TICKS_PER_SECOND = 100

function readTimes(): { busy: number; stolen: number; total: number } | undefined {
  let text: string
  try {
    text = readFileSync('/proc/stat', 'utf8')
  } catch {
    return undefined
  }
  const [user, nice, system, idle, ioWait, interrupts, softInterrupts, stolen] = text
    .split('\n')[0]
    .split(/\s+/)
    .slice(1)
    .map(Number)
  const busy = user + nice + system + interrupts + softInterrupts
  return { busy, stolen, total: busy + idle + ioWait + stolen }
}

export function formatDisturbance({ others, stolen }: Disturbance): string {
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
  return `others ${percent(others)}, stolen ${percent(stolen)}`
}

/** With more than this of all cores' time spent elsewhere, a measurement is not the case's own. The kernel's threads that
 *  write pages back count as others, and are part of what is measured. */
const DISTURBED_SHARE = 0.15
const LOOK_MS = 250

/**
 * What a run does about others on the machine: it measures at a quiet moment, and again where it was disturbed all the
 * same, until it has spent its patience. After that it takes what comes.
 */
export class Patience {
  #leftMs: number
  readonly #progress: (line: string) => void

  constructor(seconds: number, progress: (line: string) => void) {
    this.#leftMs = seconds * 1000
    this.#progress = progress
  }

  /** Returns what `measure` gave, with what was going on beside it. */
  async quietly<Result>(measure: () => Promise<Result>): Promise<{ result: Result; disturbance: Disturbance }> {
    for (;;) {
      await this.#waitForQuiet()
      const startMs = performance.now()
      const disturbanceSince = watchDisturbance()
      const result = await measure()
      const disturbance = disturbanceSince()
      if (this.#leftMs <= 0 || !isDisturbed(disturbance)) return { result, disturbance }
      this.#leftMs -= performance.now() - startMs
      this.#progress(`again: ${formatDisturbance(disturbance)}`)
    }
  }

  async #waitForQuiet(): Promise<void> {
    while (this.#leftMs > 0) {
      const disturbanceSince = watchDisturbance()
      await sleep(LOOK_MS)
      if (!isDisturbed(disturbanceSince())) return
      this.#leftMs -= LOOK_MS
    }
  }
}

const isDisturbed = ({ others, stolen }: Disturbance): boolean => others + stolen > DISTURBED_SHARE
