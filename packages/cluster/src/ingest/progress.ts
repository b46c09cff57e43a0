import type { Durability } from '@walrus-log/core'
import type { Format } from './format.js'
import type { Reject } from './tally.js'

/** How far a run is. */
export interface IngestProgress {
  phase: 'ingest' | 'verify'
  /** Sent, or read back. */
  records: number
  recordsTotal: number | null
  /** Of the source. */
  bytes: number
  bytesTotal: number | null
  seconds: number
}

/** What a run is about to do. */
export interface IngestPlan {
  topic: string
  dir: string
  partitions: number
  durability: Durability
  producers: number
  inputs: readonly { name: string; format: Format }[]
  /** Records that the topic holds already. */
  appendedTo: number
  /** How many of them are the source's own, from an earlier run; undefined where this run begins anew. */
  resumed?: number
}

export interface IngestHooks {
  /** Ends the run early: what was sent is flushed, and the summary says how far it came. */
  signal?: AbortSignal
  onPlan?(plan: IngestPlan): void
  /** Called often: at most once for each chunk. */
  onProgress?(progress: IngestProgress): void
  /** The first rejects, as they are found. */
  onReject?(reject: Reject): void
}
