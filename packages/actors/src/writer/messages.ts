import type { MessagePort } from 'node:worker_threads'
import type { Durability, KnownGood, RecoveryMode, RolledSegment } from '@walrus-log/core'
import type { SharedBuffers } from '../memory/shared-memory.js'
import type { LargeBatch } from '../message/large-batches.js'
import type { WatermarkPlace } from './watermark-publisher.js'

/**
 * What the host and a writer's two threads say to each other over ports. Records never travel here.
 *
 *   host -> writer: `open`, `producer`, `close` … `stop`   each answered by a `WriterReply` of the same id
 *   writer -> sync thread: `watch` before a partition's first write, `rolled` before the first write to the next
 *     segment, `release` after the last one, `stop` at the end
 */
export interface PartitionAssignment {
  /** The partition's slot in shared memory. */
  slot: number
  topic: string
  partition: number
  directory: string
  segmentBytes: number
  segmentEntries: number
  durability: Durability
  recovery: RecoveryMode
  /** The topic's named producers; undefined where there are none. */
  producers?: AssignedProducers
  /** Where other processes are told how far it is. */
  watermark: WatermarkPlace
}

export interface AssignedProducers {
  /** None has written below this offset. */
  since: number
  /** The latest epoch of each, by id: what comes with an older one is refused. */
  epochs: Map<number, number>
}

/** The last word of a thread that ends because it was told to. */
export const THREAD_DONE = 'done'

export type WriterRequest =
  | { type: 'open'; id: number; assignment: PartitionAssignment }
  | { type: 'close'; id: number; slot: number }
  | { type: 'producer'; id: number; slot: number; producerId: number; epoch: number; since: number }
  | { type: 'stop'; id: number }

/** `value`: the last sequence that was accepted (`producer`), else 0. */
export type WriterReply = { id: number; ok: true; value: number } | { id: number; ok: false; error: EncodedError }

/** That a partition was not found as it was left: told without being asked, before the answer to `open`. */
export interface RecoveryNotice {
  type: 'recovered'
  topic: string
  partition: number
  /** Bytes of a torn tail, or behind damage, that were cut off. */
  cutBytes: number
  /** It is not known how far named producers came, and the recovery mode allows to go on: a repeat may be taken as new. */
  producersLost: boolean
}

export type SyncMessage =
  | { type: 'watch'; slot: number; directory: string; durability: Durability; watermark: WatermarkPlace }
  | { type: 'rolled'; slot: number; segment: RolledSegment }
  | { type: 'release'; slot: number }
  | { type: 'stop' }

/** What the two threads of a writer are started with. */
export interface WriterThreadData {
  writer: number
  buffers: SharedBuffers
  /** To the host. */
  control: MessagePort
  /** Between the two threads. */
  sync: MessagePort
  /** Module whose default export makes the `FileSystem`; the host's own where it is undefined. */
  fileSystem: string | undefined
  /** Files that the thread holds open at most. */
  filesMax: number
  /** Partitions of a writer that died, to be gone on with. */
  resume: PartitionAssignment[]
  /** What it had been given and may not have written. */
  largeBatches: readonly LargeBatch[]
}

export type SyncThreadData = Omit<WriterThreadData, 'control' | 'resume' | 'largeBatches'>

/** An error as it crosses a thread: `postMessage` and comlink keep neither `code` nor own fields. */
export interface EncodedError {
  name: string
  message: string
  stack?: string
  code?: string
  details?: Record<string, string | number>
  cause?: EncodedError
}

export type { KnownGood }
