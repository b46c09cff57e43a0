import { below, type Random } from './random.js'

/** What a disk writes whole or not at all. */
export const SECTOR_BYTES = 512

/** A file as programs read it, and as it is on the platter. */
export class SimulatedFile {
  /** The page cache. */
  cache: Buffer = Buffer.alloc(0)
  platter: Buffer = Buffer.alloc(0)
  /** Sectors that were written since they were last on their way to the platter. */
  readonly dirty = new Set<number>()
  /** Sectors that take room on the disk. */
  readonly allocated = new Set<number>()
  /** What the disk gets back when the file is removed. */
  bytesTaken = 0
  /** The file was made shorter since that was last on its way to the platter. */
  #isShortened = false

  clone(): SimulatedFile {
    const copy = new SimulatedFile()
    copy.cache = Buffer.from(this.cache)
    copy.platter = Buffer.from(this.platter)
    for (const sector of this.dirty) copy.dirty.add(sector)
    for (const sector of this.allocated) copy.allocated.add(sector)
    copy.#isShortened = this.#isShortened
    return copy
  }

  write(source: Uint8Array, position: number): void {
    const end = position + source.length
    if (end > this.cache.length) this.cache = resized(this.cache, end)
    this.cache.set(source, position)
    this.#soil(position, end)
  }

  resize(length: number): void {
    // Where a file was longer once, its old bytes may still be what a disk has that lost its power.
    if (length > this.cache.length) this.#soil(this.cache.length, Math.min(length, this.platter.length))
    if (length <= this.cache.length) this.#isShortened = true
    this.cache = resized(this.cache, length)
    for (const sector of this.dirty) if (sector * SECTOR_BYTES >= length) this.dirty.delete(sector)
  }

  #soil(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++) {
      this.dirty.add(sector)
      this.allocated.add(sector)
    }
  }

  sync(): void {
    if (this.cache.length > this.platter.length || this.#isShortened) {
      this.platter = resized(this.platter, this.cache.length)
    }
    this.#isShortened = false
    for (const sector of this.dirty) this.#bring(sector)
    this.dirty.clear()
  }

  /** The system writes back what it likes, whenever it likes. */
  writeBack(random: Random): void {
    for (const sector of [...this.dirty]) {
      if (random() < 0.5) continue
      if ((sector + 1) * SECTOR_BYTES > this.platter.length) {
        this.platter = resized(this.platter, Math.min((sector + 1) * SECTOR_BYTES, this.cache.length))
      }
      this.#bring(sector)
      this.dirty.delete(sector)
    }
  }

  /**
   * A sync that fails: some of the dirty pages got to the platter, the others never will, for they count as clean. The
   * system may also forget them, so that reads give what they were before. So it is with a length that became less.
   * Returns how many were dropped.
   */
  failSync(random: Random): number {
    if (this.#isShortened && random() < 0.5)
      this.platter = resized(this.platter, Math.min(this.platter.length, this.cache.length))
    this.#isShortened = false
    const isForgotten = random() < 0.5
    let dropped = 0
    for (const sector of this.dirty) {
      if (random() < 0.3) {
        if ((sector + 1) * SECTOR_BYTES <= this.platter.length) this.#bring(sector)
        else if (sector * SECTOR_BYTES < this.cache.length) {
          this.platter = resized(this.platter, Math.min((sector + 1) * SECTOR_BYTES, this.cache.length))
          this.#bring(sector)
        }
        continue
      }
      dropped++
      if (!isForgotten) continue
      const [from, to] = [sector * SECTOR_BYTES, Math.min((sector + 1) * SECTOR_BYTES, this.cache.length)]
      this.cache.fill(0, from, to)
      if (from < this.platter.length) this.platter.copy(this.cache, from, from, Math.min(to, this.platter.length))
    }
    this.dirty.clear()
    return dropped
  }

  /** Leaves of the file what reached the platter. */
  losePower(random: Random): { sectorsLost: number } {
    const isLengthOpen = this.cache.length > this.platter.length || this.#isShortened
    const length = isLengthOpen && random() < 0.5 ? this.cache.length : this.platter.length
    this.#isShortened = false
    const bytes = resized(this.platter, length)
    // Now and then a whole file's sectors share one fate; else each has its own.
    const chance = random()
    const odds = chance < 0.2 ? 0 : chance < 0.4 ? 1 : 0.5
    let sectorsLost = 0
    for (const sector of this.dirty) {
      const at = sector * SECTOR_BYTES
      if (at >= length) continue
      if (random() < odds) this.cache.copy(bytes, at, at, Math.min(at + SECTOR_BYTES, length))
      else sectorsLost++
    }
    this.cache = bytes
    this.platter = Buffer.from(bytes)
    this.dirty.clear()
    return { sectorsLost }
  }

  /** Turns a bit over. Returns the byte. */
  rot(random: Random): number {
    const at = below(random, this.cache.length)
    this.cache[at] ^= 1 << below(random, 8)
    if (at < this.platter.length) this.platter[at] = this.cache[at]
    return at
  }

  #bring(sector: number): void {
    const at = sector * SECTOR_BYTES
    this.cache.copy(this.platter, at, at, Math.min(at + SECTOR_BYTES, this.cache.length, this.platter.length))
  }
}

function resized(bytes: Buffer, length: number): Buffer {
  if (length <= bytes.length) return Buffer.from(bytes.subarray(0, length))
  const larger = Buffer.alloc(length)
  bytes.copy(larger)
  return larger
}
