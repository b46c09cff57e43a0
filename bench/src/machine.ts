import { readFileSync } from 'node:fs'

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
