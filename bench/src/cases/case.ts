import type { Figure } from '../figure.js'
import type { Settings } from '../settings.js'

/** Figures that come out of the same rounds. */
export interface Case {
  name: string
  /** One line for `--list`. */
  about: string
  run: (settings: Settings) => Promise<Figure[]>
}
