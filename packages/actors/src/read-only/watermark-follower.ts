import fs from 'node:fs'
import path from 'node:path'
import {
  decodeWatermark,
  Region,
  systemErrorCode,
  WATERMARK_BYTES,
  WATERMARKS_FILE,
  type Watermark,
  watermarkKeyAt,
  watermarkPlaces,
} from '@walrus-log/core'

/** The system says when the file was written; this is for what it does not say (a network file system, a full queue). */
const LOOK_MS = 250
/** Where it says nothing at all. */
const LOOK_MS_UNWATCHED = 20
/** Between two looks, however often the file is written. */
const PAUSE_MS = 1

interface Followed {
  key: string
  /** Byte of its entry; -1: it had none at the last search. */
  at: number
  seen: Watermark | undefined
  onMoved: (watermark: Watermark) => void
}

export interface FollowerOptions {
  /** The namespace's. */
  directory: string
  /** Something else in it has come, gone, or been renamed. */
  onChanged: (name: string) => void
  /** Tells of each change of a name in the directory until it is closed; throws where the system cannot. */
  watch?: typeof watchDirectory
}

/**
 * Reads what the writers of another process say in the namespace's file of watermarks, whenever they have said something.
 * Owned by the thread that opened the log; it waits for no disk, and keeps no process alive.
 */
export class WatermarkFollower {
  readonly #file: string
  readonly #followed = new Map<number, Followed>()
  readonly #watch: () => { close(): void }
  #watcher: { close(): void } | undefined
  #timer: NodeJS.Timeout | undefined
  #handle: fs.promises.FileHandle | undefined
  #region = Region.allocate(WATERMARK_BYTES)
  #looking: Promise<void> | undefined
  #isStirred = false
  /** Entries without a place are looked for at the next look. */
  #isSearchDue = true
  #isClosed = false

  constructor({ directory, onChanged, watch = watchDirectory }: FollowerOptions) {
    this.#file = path.join(directory, WATERMARKS_FILE)
    this.#watch = () =>
      watch(directory, (name) => {
        if (name === null || name === WATERMARKS_FILE) this.#stir()
        else onChanged(name)
      })
    this.#lookLater()
  }

  /** Tells `onMoved` of each word of the partition's writer that differs from the last one, which was `seen`. */
  follow(slot: number, key: string, seen: Watermark | undefined, onMoved: (watermark: Watermark) => void): void {
    this.#followed.set(slot, { key, at: -1, seen, onMoved })
    this.#isSearchDue = true
  }

  unfollow(slot: number): void {
    this.#followed.delete(slot)
  }

  /** Resolves when all is told that was said before the call. */
  async refresh(): Promise<void> {
    // A look that has begun may have read already.
    await this.#looking
    this.#isSearchDue = true
    await this.#look()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#watcher?.close()
    await this.#looking
    await this.#handle?.close()
    this.#handle = undefined
  }

  #lookLater(): void {
    try {
      this.#watcher ??= this.#watch()
    } catch {
      // What is not told is looked for. The directory may only come later.
    }
    this.#timer = setTimeout(() => void this.#lookAnew(), this.#watcher === undefined ? LOOK_MS_UNWATCHED : LOOK_MS)
    this.#timer.unref()
  }

  #stir(): void {
    this.#isStirred = true
    if (this.#looking === undefined) void this.#look()
  }

  /** The same look for all who want one while it has not begun to read. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
      if (this.#isStirred && !this.#isClosed) setTimeout(() => this.#stir(), PAUSE_MS).unref()
    })
    return this.#looking
  }

  async #lookAnew(): Promise<void> {
    if (this.#followed.size > 0) await this.#lookByName()
    if (!this.#isClosed) this.#lookLater()
  }

  async #lookByName(): Promise<void> {
    await this.#looking
    this.#isSearchDue = true
    const handle = this.#handle
    try {
      // Another file may have its name by now.
      if (handle !== undefined && (await handle.stat()).ino !== (await fs.promises.stat(this.#file)).ino) {
        await this.#looking
        if (this.#handle === handle) this.#handle = undefined
        await handle.close()
      }
    } catch {
      // It is gone, or cannot be asked: what was known stays.
    }
    if (!this.#isClosed) await this.#look()
  }

  async #lookOnce(): Promise<void> {
    // Before anything is waited for: whatever stirs from here on may not be seen any more.
    await undefined
    this.#isStirred = false
    if (this.#followed.size === 0 || this.#isClosed) return
    try {
      const bytes = await this.#read()
      this.#region.u8.fill(0, bytes)
      this.#tell()
    } catch (error) {
      // Nobody has opened the log for writing yet, or it cannot be read now: the next look tries again.
      if (systemErrorCode(error) === 'UNKNOWN') throw error
    }
  }

  async #read(): Promise<number> {
    this.#handle ??= await fs.promises.open(this.#file, 'r')
    for (;;) {
      const region = this.#region
      const { bytesRead } = await this.#handle.read(region.u8, 0, region.byteLength, 0)
      if (bytesRead < region.byteLength) return bytesRead
      this.#region = Region.allocate(2 * region.byteLength)
    }
  }

  #tell(): void {
    const region = this.#region
    let places: Map<string, number> | undefined
    for (const followed of this.#followed.values()) {
      const isThere = followed.at >= 0 && watermarkKeyAt(region, followed.at) === followed.key
      if (!isThere) {
        if (!this.#isSearchDue && followed.at < 0) continue
        places ??= watermarkPlaces(region)
        followed.at = places.get(followed.key) ?? -1
        if (followed.at < 0) continue
      }
      const watermark = decodeWatermark(region, followed.at)
      // One that is just being written is seen with the next look, which its writing calls for.
      if (watermark === undefined || isSame(watermark, followed.seen)) continue
      followed.seen = watermark
      followed.onMoved(watermark)
    }
    this.#isSearchDue = false
  }
}

function isSame(watermark: Watermark, seen: Watermark | undefined): boolean {
  return (
    seen !== undefined &&
    watermark.offset === seen.offset &&
    watermark.baseOffset === seen.baseOffset &&
    watermark.offsetFirst === seen.offsetFirst &&
    watermark.leaseEpoch === seen.leaseEpoch &&
    watermark.opening === seen.opening
  )
}

function watchDirectory(directory: string, onName: (name: string | null) => void): { close(): void } {
  const watcher = fs.watch(directory, { persistent: false }, (_event, name) => onName(name))
  // A watch that ends leaves the looks at intervals.
  watcher.on('error', () => watcher.close())
  return watcher
}
