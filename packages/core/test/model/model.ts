// What a log promises, in plain memory: no file, no format, no clock. Everything that a model knows was said to it by whoever
// used the log; what a crash may have taken, or not, is a set of choices that the next look at the log narrows down.

export interface ModelRecord {
  value: string
  timestamp: number
}

export interface ModelBatch {
  base: number
  records: readonly ModelRecord[]
  /** Who sent it, where it was a named producer. */
  origin?: { name: string; epoch: number; sequence: number }
}

/** So many batches of a name are remembered with their offsets. */
const REMEMBERED = 16

export type Verdict = { type: 'admit' } | { type: 'fenced' } | { type: 'sequence' } | Duplicate
export interface Duplicate {
  type: 'duplicate'
  base: number
  /** Whether the offset has to be said; otherwise it is enough to say that it is there. */
  isRemembered: boolean
}

export class PartitionModel {
  /** Everything that was ever written and not refused, what is forgotten too. */
  batches: ModelBatch[] = []
  /** Acknowledged: survives the end of the process. */
  acknowledged = 0
  /** Survives a loss of power. */
  durable = 0
  first = 0
  /** First offsets of attempts whose end nobody knows. */
  readonly firstTried = new Set<number>()

  /** Where a log goes on that has lost all of its files. */
  #begin = 0

  get next(): number {
    const last = this.batches.at(-1)
    return last === undefined ? this.#begin : last.base + last.records.length
  }

  /** All files are lost, which no promise forbade: offsets go on from the first that was not forgotten. */
  loseAll(offset: number): void {
    this.batches = []
    this.#begin = offset
  }

  add(records: readonly ModelRecord[], origin?: ModelBatch['origin']): ModelBatch {
    const batch = { base: this.next, records, origin }
    this.batches.push(batch)
    return batch
  }

  /** What is not below `offset` is taken back. */
  cutAt(offset: number): void {
    this.batches = this.batches.filter(({ base, records }) => base + records.length <= offset)
  }

  record(offset: number): ModelRecord | undefined {
    const batch = this.batches.findLast(({ base }) => base <= offset)
    return batch?.records[offset - batch.base]
  }

  /** Ends of batches, and 0: a log may end there and nowhere else. */
  canEndAt(offset: number): boolean {
    return offset === this.#begin || this.batches.some(({ base, records }) => base + records.length === offset)
  }

  sequenceNext(name: string): number {
    let next = 0
    for (const { origin, records } of this.batches) {
      if (origin?.name === name) next = Math.max(next, origin.sequence + records.length)
    }
    return next
  }

  batchesOf(name: string): ModelBatch[] {
    return this.batches.filter(({ origin }) => origin?.name === name)
  }

  /** What is to become of a named producer's batch. */
  judge(name: string, epoch: number, epochNow: number, sequence: number, count: number): Verdict {
    const next = this.sequenceNext(name)
    if (epoch < epochNow) return { type: 'fenced' }
    if (sequence === next) return { type: 'admit' }
    if (sequence + count > next) return { type: 'sequence' }
    const known = this.batchesOf(name)
    const place = known.findIndex(({ origin }) => origin!.sequence === sequence)
    return { type: 'duplicate', base: known[place].base, isRemembered: known.length - place <= REMEMBERED }
  }
}

export interface CursorModel {
  offset: number
  /** Offsets of commits whose end nobody knows. */
  tried: Set<number>
}

export class TopicModel {
  readonly partitions: PartitionModel[]
  /** Epoch of each name, and how high a failed opening may have brought it. */
  readonly names = new Map<string, { epoch: number; epochMax: number }>()
  /** By group and partition. */
  readonly cursors = new Map<string, CursorModel>()
  readonly name: string
  readonly createdMs: number
  readonly isPowerSafe: boolean

  constructor(name: string, options: { createdMs: number; partitions: number; isPowerSafe: boolean }) {
    this.name = name
    this.createdMs = options.createdMs
    this.isPowerSafe = options.isPowerSafe
    this.partitions = Array.from({ length: options.partitions }, () => new PartitionModel())
  }
}

export class Model {
  readonly topics = new Map<string, TopicModel>()
  /** A topic that was being made, or taken away, as the process died. */
  making: TopicModel | undefined
  deleting: string | undefined
}
