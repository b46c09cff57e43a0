import { WalrusError } from '@walrus-log/core'
import { KeepAlive, ring } from '../lane/doorbell.js'
import {
  ACK_NUMBERS,
  ACK_OFFSET_AT,
  CLIENT_DOORBELL_AT,
  clientAt,
  LANE_ACKS_AT,
  LANE_ACKS_COUNT_AT,
  LANE_CLIENT_AT,
  LANE_HEAD_AT,
  LANE_PUBLISHED_AT,
  LANE_SETTLED_AT,
  LANE_TAIL_AT,
  LANE_WRITTEN_AT,
  laneAt,
  PARTITION_SYNC_BUSY_AT,
  PARTITION_SYNC_STATE_AT,
  PARTITION_SYNC_WANTED_AT,
  partitionAt,
  SYNC_IDLE,
  WRITER_CONTROL_AT,
  WRITER_DOORBELL_AT,
  WRITER_FAILED_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { decodeError } from '../message/error-codec.js'
import { LargeBatches } from '../message/large-batches.js'
import type { PartitionAssignment, RecoveryNotice, WriterReply, WriterRequest } from '../writer/messages.js'
import { encodeRefusal } from '../writer/outcome.js'
import { openLanes } from '../writer/settlement.js'
import { type ThreadEnd, ThreadPair } from './thread-pair.js'

/** What the host tells whoever listens about its writers. */
export type WriterEvent =
  | { type: 'writer-ended'; writer: number; reason: ThreadEnd['reason']; error?: Error }
  | { type: 'writer-restarted'; writer: number; restarts: number }
  | { type: 'writer-failed'; writer: number; error?: Error }
  /** A partition was not found as it was left: see its members. */
  | (RecoveryNotice & { writer: number })
  /** Something could not be forgotten: it is tried again in a minute, or at the next seal. */
  | { type: 'maintenance-failed'; writer: number; topic: string; partition: number; error: Error }

export interface SupervisedWriterOptions {
  memory: SharedMemory
  writer: number
  fileSystem: string | undefined
  /** Files that each of its threads holds open at most. */
  filesMax: number
  onEvent: (event: WriterEvent) => void
}

/** A writer that dies more often than this within the window is given up: what kills it is not going away. */
const RESTARTS_MAX = 8
const RESTART_WINDOW_MS = 60_000
const RESTART_PAUSE_MS = 10
const RESTART_PAUSE_MS_MAX = 2_000

interface Pending {
  request: WriterRequest
  resolve: (value: number) => void
  reject: (error: Error) => void
}

/**
 * One segment writer as the host sees it: its threads are started, watched and started again, and what they were asked
 * is asked again. Lanes and files outlive the threads; the successor goes on with both.
 */
export class SupervisedWriter {
  readonly writer: number
  /** Partitions that it holds or is about to open. */
  load = 0
  readonly assignments = new Map<number, PartitionAssignment>()
  readonly #options: SupervisedWriterOptions
  readonly #pending = new Map<number, Pending>()
  readonly #keepAlive = new KeepAlive()
  readonly #largeBatches: LargeBatches
  readonly #restartsMs: number[] = []
  #threads: ThreadPair
  #requestId = 0
  #isStopping = false
  /** The writer has settled all that was accepted: whatever becomes of its threads now is their end. */
  #hasStopped = false
  #hasFailed = false
  /** Resolves when the threads have ended for good. */
  readonly ended: Promise<void>
  #resolveEnded: () => void = () => {}

  constructor(options: SupervisedWriterOptions) {
    this.writer = options.writer
    this.#options = options
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#largeBatches = new LargeBatches(options.memory, options.writer)
    this.#largeBatches.listen()
    this.#threads = this.#start([])
  }

  /** Opens a partition in the writer's thread. */
  async open(assignment: PartitionAssignment): Promise<void> {
    this.load++
    try {
      await this.#request((id) => ({ type: 'open', id, assignment }))
      this.assignments.set(assignment.slot, assignment)
    } catch (error) {
      this.load--
      throw error
    }
  }

  /**
   * Opens a named producer in a partition: older epochs are refused from now on, also by a successor of the threads.
   * Resolves to the last sequence that was accepted.
   */
  async openProducer(slot: number, producerId: number, epoch: number, since: number): Promise<number> {
    const lastSequence = await this.#request((id) => ({ type: 'producer', id, slot, producerId, epoch, since }))
    const assignment = this.assignments.get(slot)
    if (assignment !== undefined) {
      assignment.producers ??= { since, epochs: new Map() }
      assignment.producers.epochs.set(producerId, epoch)
    }
    return lastSequence
  }

  async close(slot: number): Promise<void> {
    await this.#request((id) => ({ type: 'close', id, slot }))
    this.assignments.delete(slot)
    this.load--
  }

  /** Lets the writer settle all that was accepted, and ends its threads. */
  async stop(): Promise<void> {
    if (this.#isStopping) return this.ended
    this.#isStopping = true
    this.#keepAlive.hold()
    try {
      if (!this.#hasFailed) {
        await this.#request((id) => ({ type: 'stop', id }))
        this.#hasStopped = true
      }
      await this.ended
    } finally {
      this.#keepAlive.close()
    }
  }

  #request(make: (id: number) => WriterRequest): Promise<number> {
    const request = make(++this.#requestId)
    return new Promise((resolve, reject) => {
      if (this.#hasFailed) return reject(this.#failure())
      this.#keepAlive.hold()
      this.#pending.set(request.id, { request, resolve, reject })
      this.#send(request)
    })
  }

  #send(request: WriterRequest): void {
    const { words } = this.#options.memory
    this.#threads.control.postMessage(request)
    Atomics.add(words, writerAt(this.writer) + WRITER_CONTROL_AT, 1)
    ring(words, writerAt(this.writer) + WRITER_DOORBELL_AT)
  }

  #start(resume: PartitionAssignment[]): ThreadPair {
    const { memory, fileSystem, filesMax } = this.#options
    const threads = new ThreadPair({
      writer: this.writer,
      buffers: memory.buffers,
      fileSystem,
      filesMax,
      resume,
      largeBatches: this.#largeBatches.held,
    })
    threads.control.on('message', (message: WriterReply | RecoveryNotice) => {
      // A successor that was asked again answers for itself: what its predecessor said of a producer may be over.
      if (this.#threads !== threads) return
      if ('type' in message) this.#options.onEvent({ ...message, writer: this.writer })
      else this.#receive(message)
    })
    threads.control.unref()
    void threads.ended.then((end) => this.#onEnd(end))
    return threads
  }

  #receive(reply: WriterReply): void {
    const pending = this.#pending.get(reply.id)
    if (pending === undefined) return
    this.#pending.delete(reply.id)
    this.#keepAlive.release()
    if (reply.ok) pending.resolve(reply.value)
    else pending.reject(decodeError(reply.error))
  }

  #onEnd(end: ThreadEnd): void {
    if (this.#hasStopped || (end.reason === 'stopped' && this.#isStopping)) return this.#finish()
    const { onEvent } = this.#options
    onEvent({ type: 'writer-ended', writer: this.writer, reason: end.reason, error: end.error })
    const nowMs = performance.now()
    while (this.#restartsMs.length > 0 && this.#restartsMs[0] < nowMs - RESTART_WINDOW_MS) this.#restartsMs.shift()
    if (this.#restartsMs.length >= RESTARTS_MAX) return this.#giveUp(end)
    this.#restartsMs.push(nowMs)
    const pauseMs = Math.min(RESTART_PAUSE_MS * 2 ** (this.#restartsMs.length - 1), RESTART_PAUSE_MS_MAX)
    this.#keepAlive.hold()
    setTimeout(
      () => {
        this.#keepAlive.release()
        this.#restart()
      },
      pauseMs * (0.5 + Math.random() / 2),
    )
  }

  /** The threads have ended as they were asked to; their answer may have been overtaken by their end. */
  #finish(): void {
    for (const { resolve } of this.#pending.values()) {
      this.#keepAlive.release()
      resolve(0)
    }
    this.#pending.clear()
    this.#largeBatches.close()
    this.#resolveEnded()
  }

  #restart(): void {
    if (this.#hasStopped) return this.#finish()
    const { words } = this.#options.memory
    // Also what the dead writer was about to open: it may have held the sync state already.
    const opening: number[] = []
    for (const { request } of this.#pending.values()) if (request.type === 'open') opening.push(request.assignment.slot)
    for (const slot of [...this.assignments.keys(), ...opening]) {
      Atomics.store(words, partitionAt(slot) + PARTITION_SYNC_WANTED_AT, 0)
      Atomics.store(words, partitionAt(slot) + PARTITION_SYNC_BUSY_AT, 0)
      Atomics.store(words, partitionAt(slot) + PARTITION_SYNC_STATE_AT, SYNC_IDLE)
    }
    this.#threads = this.#start([...this.assignments.values()])
    this.#options.onEvent({ type: 'writer-restarted', writer: this.writer, restarts: this.#restartsMs.length })
    for (const { request } of this.#pending.values()) this.#send(request)
  }

  /** Refuses everything that its lanes hold, so that nobody waits for a writer that does not come back. */
  #giveUp(end: ThreadEnd): void {
    this.#hasFailed = true
    Atomics.store(this.#options.memory.words, writerAt(this.writer) + WRITER_FAILED_AT, 1)
    this.refuseAll(encodeRefusal('writer'))
    this.#options.onEvent({ type: 'writer-failed', writer: this.writer, error: end.error })
    for (const { reject } of this.#pending.values()) {
      this.#keepAlive.release()
      reject(this.#failure(end.error))
    }
    this.#pending.clear()
    this.#largeBatches.close()
    this.#resolveEnded()
  }

  get hasFailed(): boolean {
    return this.#hasFailed
  }

  #failure(cause?: Error): WalrusError {
    return new WalrusError(
      'WRITER_FAILED',
      `segment writer ${this.writer} died ${RESTARTS_MAX} times within ${RESTART_WINDOW_MS / 1000} s and is not started again; see the cause, then close the log and open it anew`,
      { cause },
    )
  }

  /** Settles every batch of the writer's lanes as refused. Only while no thread of the writer runs. */
  refuseAll(outcome: number): void {
    const { memory } = this.#options
    const { words, arena } = memory
    for (const lane of openLanes(memory, this.writer)) {
      const at = laneAt(lane)
      const published = Atomics.load(words, at + LANE_PUBLISHED_AT)
      const acksAt = words[at + LANE_ACKS_AT] >>> 3
      const mask = words[at + LANE_ACKS_COUNT_AT] - 1
      for (let batch = Atomics.load(words, at + LANE_SETTLED_AT); batch !== published; batch = (batch + 1) | 0) {
        arena.f64[acksAt + (batch & mask) * ACK_NUMBERS + ACK_OFFSET_AT] = outcome
      }
      Atomics.store(words, at + LANE_HEAD_AT, Atomics.load(words, at + LANE_TAIL_AT))
      Atomics.store(words, at + LANE_WRITTEN_AT, published)
      Atomics.store(words, at + LANE_SETTLED_AT, published)
      ring(words, clientAt(words[at + LANE_CLIENT_AT]) + CLIENT_DOORBELL_AT)
    }
  }
}
