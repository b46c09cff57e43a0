import type { Patience } from './machine.js'
import type { Profiler } from './profiler.js'

/** What all cases are run with. */
export interface Settings {
  /** A directory of this run's own, on the file system that is measured. */
  directory: string
  rounds: number
  /** Multiplies the amount of data and the length of windows; 1 is the full run. */
  scale: number
  /** Says on standard error how far the run is. */
  progress: (line: string) => void
  /** For measurements that others on the machine would change. */
  patience: Patience
  /** Only with `--profile`. */
  profiler: Profiler | undefined
}

/** `count` at full scale, fewer at a smaller one, never so few that a case has nothing to measure. */
export function scaled(settings: Settings, count: number, least = 1): number {
  return Math.max(Math.round(count * settings.scale), least)
}
