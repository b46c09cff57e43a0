import type { Batch, LogRecord } from '../log/batch.js'
import type { Gap } from '../log/gap.js'
import type { PartitionPlace } from '../log/log-client.js'
import type { PartitionReader } from '../log/partition-reader.js'

/** A partition in a consumer's hands: the records from a place on, one after the other. */
export class AssignedPartition<Value> {
  readonly place: PartitionPlace
  readonly generation: number
  readonly #open: (offset: number) => PartitionReader<Value>
  readonly #onGap: (gap: Gap) => void
  #reader: PartitionReader<Value>
  #batch: Batch<Value> | undefined
  /** Batches behind it that somebody looked at, in memory of their own. */
  #ahead: Batch<Value>[] = []
  /** The batch is in memory of its own. */
  #isOwned = false
  #records: Iterator<LogRecord<Value>, undefined> | undefined
  #record: LogRecord<Value> | undefined
  #next: number

  constructor(
    place: PartitionPlace,
    generation: number,
    offset: number,
    open: (offset: number) => PartitionReader<Value>,
    onGap: (gap: Gap) => void,
  ) {
    this.place = place
    this.generation = generation
    this.#open = open
    this.#onGap = onGap
    this.#reader = open(offset)
    this.#next = offset
  }

  /** Acknowledged records that are not handed out; where the log was thinned out, those that are gone count too. */
  get lag(): number {
    return Math.max(this.#reader.highWatermark - this.#next, 0)
  }

  get hasMore(): boolean {
    return this.#record !== undefined || this.#ahead.length > 0 || this.#reader.hasMore
  }

  /** The next record if it is in memory; a view, valid until the next `fill`. */
  current(): LogRecord<Value> | undefined {
    while (this.#record === undefined) {
      if (this.#records === undefined && !this.#takeBatch()) return undefined
      this.#record = this.#records!.next().value
      if (this.#record === undefined) this.#records = undefined
    }
    return this.#record
  }

  /** The same, in memory of its own: valid for as long as anybody has it. */
  currentOwned(): LogRecord<Value> | undefined {
    const record = this.current()
    if (record === undefined || this.#isOwned) return record
    // Once a batch, however many calls it is handed out with.
    this.#use(this.#batch!.copy(record.offset), true)
    return this.current()
  }

  /**
   * The batch with the next record (0), or one behind it (1, 2 …), if it is in memory: in memory of its own, so that more
   * can be brought into memory while it is looked at. The first may begin before the next record.
   */
  batchAt(place: number): Batch<Value> | undefined {
    if (this.currentOwned() === undefined || place === 0) return this.#record && this.#batch
    while (this.#ahead.length < place) {
      const batch = this.#takeFromReader()
      if (batch === undefined) return undefined
      this.#ahead.push(batch.copy(batch.baseOffset))
    }
    return this.#ahead[place - 1]
  }

  /** Whether there is something behind all batches that are in memory. */
  get hasUnread(): boolean {
    return this.#reader.hasMore
  }

  /** Goes on behind the current record. */
  advance(): void {
    this.#next = this.#record!.offset + 1
    this.#record = undefined
  }

  /** Brings more into memory. */
  fill(): void | Promise<void> {
    return this.#reader.fill()
  }

  /** Goes on at another place. */
  seek(offset: number): void {
    this.close(false)
    this.#reader = this.#open(offset)
    this.#next = offset
  }

  /** `isFree`: no view that was handed out is valid any more. */
  close(isFree: boolean): void {
    this.#reader.close(isFree)
    this.#records = undefined
    this.#record = undefined
    this.#batch = undefined
    this.#ahead = []
  }

  /** The reader's next batch; what is missing before it is passed over, and told. */
  #takeFromReader(): Batch<Value> | undefined {
    for (;;) {
      const batch = this.#reader.take()
      if (batch === undefined || batch.gap === undefined) return batch
      this.#onGap(batch)
    }
  }

  #takeBatch(): boolean {
    const ahead = this.#ahead.shift()
    const batch = ahead ?? this.#takeFromReader()
    if (batch === undefined) return false
    this.#use(batch, ahead !== undefined)
    return true
  }

  #use(batch: Batch<Value>, isOwned: boolean): void {
    this.#batch = batch
    this.#isOwned = isOwned
    this.#records = batch[Symbol.iterator]()
    this.#record = undefined
  }
}
