import { type CursorEntry, encodeCursor } from '@walrus-log/core'
import type { LogClient } from '../log/log-client.js'
import { type Ack, Producer } from '../log/producer.js'
import type { CursorLogPlace } from './messages.js'

/** A batch of cursors is at most this many, so that it fits any lane. */
const CURSORS_MAX = 256

/**
 * One thread's way into the cursor log: a lane to its segment writer, as to any other. A commit is then what an append
 * is (one write, one sync, shared by all that are in flight), goes through no other thread, and outlives the writer's.
 */
export class CursorWriter {
  readonly #client: LogClient
  readonly #producer: Producer<Uint8Array>
  #compactAt: number

  constructor(client: LogClient, { place, compactAt }: CursorLogPlace) {
    this.#client = client
    this.#compactAt = compactAt
    this.#producer = new Producer<Uint8Array>(client, place, { partition: 0 }, (closed) => {
      client.producers.delete(closed)
    })
    client.producers.add(this.#producer)
  }

  /** Resolves when the cursors are on the disk; up to `CURSORS_MAX` are so all at once or not at all. */
  async write(cursors: readonly Omit<CursorEntry, 'version'>[]): Promise<void> {
    for (let from = 0; from < cursors.length; from += CURSORS_MAX) {
      const ack = await this.#append(cursors.slice(from, from + CURSORS_MAX).map((cursor) => encodeCursor(cursor)))
      this.#written(ack)
    }
  }

  /** Writes entries as copies of what stands in the log already. */
  async copy(entries: readonly CursorEntry[]): Promise<void> {
    for (let from = 0; from < entries.length; from += CURSORS_MAX) {
      const copies = entries.slice(from, from + CURSORS_MAX).map((entry) => encodeCursor(entry, entry.version))
      await this.#append(copies)
    }
  }

  async #append(values: Uint8Array[]): Promise<Ack> {
    try {
      if (values.length === 1) return await this.#producer.append(values[0])
      return (await this.#producer.appendBatch(values))[values.length - 1]
    } catch (error) {
      // Who waits for the commit is told; the log's end has nothing to add.
      await this.#producer.flush().catch(() => {})
      throw error
    }
  }

  /** Whoever's commit makes the log too long says so; nobody has to watch it. */
  #written({ offset }: Ack): void {
    if (offset < this.#compactAt) return
    this.#compactAt = Number.POSITIVE_INFINITY
    this.#client.control.compactCursors().then(
      (compactAt) => {
        this.#compactAt = compactAt
      },
      // It is only longer than it should be; the next commits try again.
      () => {
        this.#compactAt = offset + RETRY_COMMITS
      },
    )
  }
}

const RETRY_COMMITS = 1024
