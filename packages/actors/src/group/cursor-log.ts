import {
  type CursorEntry,
  type CursorKey,
  CursorTable,
  cursorCopies,
  type TopicRequest,
  WalrusError,
} from '@walrus-log/core'
import { type LogClient, readFirstOffset, type TopicPlace } from '../log/log-client.js'
import { highWatermark } from '../log/reader.js'
import { CursorWriter } from './cursor-writer.js'

/** The topic that cursors are kept in. It is like any other, but for that nobody else may use it. */
export const CURSOR_TOPIC = '__cursors'

/** Small segments, because the log is made shorter by whole ones. */
export const CURSOR_TOPIC_REQUEST: TopicRequest = {
  partitions: 1,
  codec: 'bytes',
  durability: 'disk',
  segmentBytes: 1024 * 1024,
}

/** The log is made shorter after so many commits: some 3 MB, which are read in a few milliseconds at the next open. */
const COMMITS_MAX = 16_384
/** And not before it holds so many times what is alive, so that copying costs a fraction of what was written. */
const COMMITS_PER_CURSOR = 4

/** What the host does on threads that may wait for a disk. */
export interface CursorFiles {
  readCursors(directory: string, from: number | undefined, end: number): Promise<CursorEntry[]>
  trimCursors(directory: string, before: number): Promise<void>
}

/** The cursor log as the host sees it: what it says, read on demand, and its length. Owned by the host's thread. */
export class CursorLog {
  readonly place: TopicPlace
  readonly table = new CursorTable()
  /** Where it is to be made shorter again. */
  compactAt: number
  readonly #client: LogClient
  readonly #files: CursorFiles
  #writer: CursorWriter | undefined
  #readTo: number | undefined
  /** Calls that read or shorten run one after the other. */
  #work: Promise<unknown> = Promise.resolve()

  constructor(client: LogClient, files: CursorFiles, place: TopicPlace) {
    this.#client = client
    this.#files = files
    this.place = place
    this.compactAt = readFirstOffset(client.memory, place.partitions[0].slot) + COMMITS_MAX
  }

  /** Brings the table up to all that is durable at the call. */
  catchUp(): Promise<void> {
    return this.#inOrder(() => this.#catchUp())
  }

  async #catchUp(): Promise<void> {
    const [partition] = this.place.partitions
    const end = highWatermark(this.#client, partition)
    if (end === (this.#readTo ?? 0)) return
    for (const entry of await this.#files.readCursors(partition.directory, this.#readTo, end)) {
      this.table.maybeTake(entry)
    }
    this.#readTo = end
  }

  /** Resolves when the cursors are durable. */
  write(cursors: readonly Omit<CursorEntry, 'version'>[]): Promise<void> {
    return this.#cursorWriter().write(cursors)
  }

  /** Copies what is alive to the log's end and removes what is said again by that. */
  compact(deadKeys: () => Promise<(key: CursorKey) => boolean>): Promise<number> {
    return this.#inOrder(async () => {
      const [partition] = this.place.partitions
      if (highWatermark(this.#client, partition) < this.compactAt) return this.compactAt
      await this.#catchUp()
      const before = this.#readTo ?? 0
      // Asked for only now: a cursor that has been read speaks of a topic that was there by then.
      this.table.forget(await deadKeys())
      await this.#cursorWriter().copy(cursorCopies(this.table))
      await this.#files.trimCursors(partition.directory, before)
      const alive = Math.max(COMMITS_MAX, this.table.size * COMMITS_PER_CURSOR)
      this.compactAt = highWatermark(this.#client, partition) + alive
      return this.compactAt
    })
  }

  #cursorWriter(): CursorWriter {
    this.#writer ??= new CursorWriter(this.#client, { place: this.place, compactAt: Number.POSITIVE_INFINITY })
    return this.#writer
  }

  #inOrder<Result>(action: () => Promise<Result>): Promise<Result> {
    const result = this.#work.then(action)
    this.#work = result.catch(() => {})
    return result
  }
}

/** Throws `INVALID_ARGUMENT` for the name of the topic that cursors are kept in. */
export function requireNotReserved(name: string): void {
  if (name !== CURSOR_TOPIC) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `the topic ${CURSOR_TOPIC} holds the cursors of consumer groups and is nobody else's; take another name`,
    { field: 'topic' },
  )
}
