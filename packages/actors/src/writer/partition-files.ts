import { cutPartition, type FileSystem, PartitionLog, type Region, type RolledSegment } from '@walrus-log/core'
import type { PartitionAssignment, RecoveryNotice } from './messages.js'
import type { SharedPartition } from './shared-partition.js'

type OnFound = (region: Region, at: number) => void

/** Who is told of what. */
interface Listeners {
  /** A full segment is handed over to be sealed. */
  onRolled: (segment: RolledSegment) => void
  onRecovered: (notice: RecoveryNotice) => void
}

/**
 * The files of one partition in its writer's hands: recovered and opened, cut back after a failure, closed.
 *
 * Invariant: while `log` is undefined nothing is written; the last failure stands in the partition's refusal.
 */
export class PartitionFiles {
  log: PartitionLog | undefined
  readonly #fs: FileSystem
  readonly #assignment: PartitionAssignment
  readonly #shared: SharedPartition
  readonly #listeners: Listeners
  /** Full segments that were handed to the sync thread, since the partition was opened. */
  #rolledCount = 0

  constructor(fs: FileSystem, assignment: PartitionAssignment, shared: SharedPartition, listeners: Listeners) {
    this.#fs = fs
    this.#assignment = assignment
    this.#shared = shared
    this.#listeners = listeners
  }

  /** Recovers the files. With `onFound` a writer of this partition died in this process, and what is behind its
   *  written point is shown. */
  open(onFound?: OnFound): PartitionLog {
    this.log = this.#open(onFound !== undefined, onFound === undefined, onFound)
    return this.log
  }

  #open(isResumed: boolean, tidy: boolean, onFound?: OnFound): PartitionLog {
    const { topic, directory, partition, segmentBytes, segmentEntries, recovery, producers } = this.#assignment
    const { epoch } = this.#shared
    const log = PartitionLog.open({
      fs: this.#fs,
      directory,
      partition,
      segmentBytes,
      segmentEntries,
      recovery,
      now: Date.now,
      knownGood: isResumed ? this.#shared.written : undefined,
      tidy,
      leaseEpoch: epoch === 0 ? undefined : epoch + 1,
      onRecovered: onFound,
      producersSince: producers?.since,
      onRolled: (segment) => {
        this.#rolledCount++
        this.#listeners.onRolled(segment)
      },
    })
    const { cutBytes, isProgressLost: producersLost } = log
    if (cutBytes > 0 || producersLost)
      this.#listeners.onRecovered({ type: 'recovered', topic, partition, cutBytes, producersLost })
    for (const [id, producerEpoch] of producers?.epochs ?? []) log.producers.fence(id, producerEpoch)
    this.#shared.epoch = log.leaseEpoch
    return log
  }

  /** Whether full segments wait to be sealed: then a sync of the open one alone would promise too much. */
  get hasUnsealed(): boolean {
    return this.#shared.sealedCount !== this.#rolledCount
  }

  /**
   * Brings the files back to what is acknowledged, and opens them. Returns whether that was done; otherwise there is no
   * log until it is. The sync state is held, and the cut is wanted.
   */
  cutAndOpen(): boolean {
    const { log } = this
    this.log = undefined
    this.#shared.waitWhileBusy()
    try {
      log?.abandon()
      cutPartition(this.#fs, this.#assignment.directory, this.#shared.durable, Date.now())
      this.log = this.#open(false, false)
    } catch {
      // Whoever asked for the cut knows what began it.
    }
    this.#rolledCount = this.#shared.sealedCount
    return this.log !== undefined
  }

  /** Gives back what is reserved ahead and closes the files. */
  close(): void {
    this.log?.close()
    this.log = undefined
  }
}
