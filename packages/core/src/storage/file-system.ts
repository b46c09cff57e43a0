/**
 * The one door to the disk: all that the engine asks of a file system. Calls are synchronous and take effect in order.
 * An implementation throws errors with the system's `code` (`ENOENT`, `ENOSPC`, `EIO` …) and never retries a sync.
 */
export interface FileSystem {
  /** Opens an existing file, or with `create` makes it, which fails with `EEXIST` where it exists. */
  open(path: string, mode: 'read' | 'write' | 'create'): OpenFile
  /** Names in the directory, in no order. `ENOENT` where there is none. */
  list(directory: string): string[]
  /** Makes the directory and its missing parents, and makes their entries durable. */
  makeDirectory(directory: string): void
  /** Makes created, renamed and removed entries of the directory durable. */
  syncDirectory(directory: string): void
  rename(from: string, to: string): void
  remove(path: string): void
  removeTree(directory: string): void
  exists(path: string): boolean
}

/** An open file. Positions and lengths are bytes; buffers stay the caller's and are not kept. */
export interface OpenFile {
  /** Reads up to `length` bytes; fewer only at the file's end. */
  read(target: Uint8Array, offset: number, length: number, position: number): number
  /** Writes all of `length` bytes, or throws; what was written by then is unknown. */
  write(source: Uint8Array, offset: number, length: number, position: number): void
  /** Writes the views one behind the other, all of them, or throws. */
  writeMany(views: Uint8Array[], position: number): void
  /** Makes the file's bytes and size durable. After it threw, nothing is known of what was written since the last one. */
  sync(): void
  truncate(length: number): void
  size(): number
  close(): void
}
