/** Milliseconds from a batch's publication to its acknowledgement, counted once a batch. */
export interface LatencyStats {
  p50: number
  p99: number
  p999: number
}

/** Counters of one segment-writer thread since the log was opened. */
export interface WriterStats {
  writer: number
  /** `topic/partition` of what it holds. */
  partitions: string[]
  records: number
  /** Bytes written to segment files. */
  bytes: number
  batches: number
  /** Write calls to the system. */
  writes: number
  syncs: number
  ackLatencyMs: LatencyStats
}

export interface WalrusStats {
  writers: WriterStats[]
  records: number
  bytes: number
  syncs: number
  ackLatencyMs: LatencyStats
}

/** Of a log without writers. */
export function emptyStats(): WalrusStats {
  return { writers: [], records: 0, bytes: 0, syncs: 0, ackLatencyMs: { p50: 0, p99: 0, p999: 0 } }
}
