import type { Region } from '../format/region.js'

/** More different keys than this are looked for in several passes: some 100 bytes of memory each, and the key's own. */
export const COMPACTION_KEYS_MAX = 1_000_000
const KEY_BYTES_MAX = 128 * 1024 * 1024

/**
 * The newest record of each key in a stretch of a partition. Pure. Whatever it knows of is there, so that it may be
 * asked about any older record at any time, also before all of the stretch was noted.
 */
export class LatestKeys {
  readonly #offsets = new Map<string, number>()
  readonly #keysMax: number
  #bytes = 0

  constructor(keysMax = COMPACTION_KEYS_MAX) {
    this.#keysMax = keysMax
  }

  /** Whether there are as many keys as are to be held at once. */
  get isFull(): boolean {
    return this.#offsets.size >= this.#keysMax || this.#bytes >= KEY_BYTES_MAX
  }

  /** Notes a record; later ones come later. */
  note(region: Region, keyAt: number, keyLength: number, offset: number): void {
    const key = textOf(region, keyAt, keyLength)
    const { size } = this.#offsets
    this.#offsets.set(key, offset)
    if (this.#offsets.size > size) this.#bytes += keyLength
  }

  /** Whether a newer record of that key is known. */
  isSuperseded(region: Region, keyAt: number, keyLength: number, offset: number): boolean {
    const latest = this.#offsets.get(textOf(region, keyAt, keyLength))
    return latest !== undefined && latest > offset
  }
}

/** One character a byte, so that different keys are different texts. */
const textOf = (region: Region, at: number, length: number): string => region.bytes.toString('latin1', at, at + length)
