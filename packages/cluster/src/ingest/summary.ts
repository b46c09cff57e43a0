import type { Durability, TopicConfig } from '@walrus-log/core'
import type { FilledIngestOptions } from './options.js'
import type { Position, Reject, Tally } from './tally.js'

export interface LatencyMs {
  p50: number
  p99: number
  p999: number
}

export interface WriterSummary {
  writer: number
  /** As `topic/partition`. */
  partitions: string[]
  records: number
  bytes: number
  batches: number
  writes: number
  syncs: number
  ackLatencyMs: LatencyMs
}

/** What an ingest did; `walrus ingest --json` prints it. `docs/command.md` says what each field means. */
export interface IngestSummary {
  topic: string
  dir: string
  files: string[]
  records: number
  /** Records of the source that an earlier run had written, which this one went on with. */
  resumed: number
  bytes: number
  seconds: number
  recordsPerSecond: number
  mbPerSecond: number
  rejected: number
  rejects: Reject[]
  verified: boolean
  verifySeconds: number | null
  verifyProblems: string[]
  syncs: number
  recordsPerSync: number | null
  ackLatencyMs: LatencyMs
  writers: WriterSummary[]
  producers: number
  partitions: number
  durability: Durability
  appendedTo: number
  interrupted: boolean
  position: Position | null
}

export interface SummaryParts {
  options: FilledIngestOptions
  files: string[]
  config: Readonly<TopicConfig>
  /** Records in the topic before the run. */
  appendedTo: number
  tally: Tally
  stats: { writers: WriterSummary[]; syncs: number; ackLatencyMs: LatencyMs }
  seconds: number
  /** Null if nothing was read back, or not to the end. */
  verifyResult: { problems: string[]; seconds: number } | null
  isInterrupted: boolean
}

export function buildSummary(parts: SummaryParts): IngestSummary {
  const { options, config, tally, stats, seconds, verifyResult } = parts
  const records = tally.content.records - tally.there.records
  const bytes = tally.content.bytes - tally.there.bytes
  return {
    topic: config.name,
    dir: options.dir,
    files: parts.files,
    records,
    resumed: tally.there.records,
    bytes,
    seconds,
    recordsPerSecond: perSecond(records, seconds),
    mbPerSecond: perSecond(bytes, seconds) / BYTES_PER_MB,
    rejected: tally.rejectsCount,
    rejects: tally.rejects,
    verified: verifyResult !== null && verifyResult.problems.length === 0,
    verifySeconds: verifyResult?.seconds ?? null,
    verifyProblems: verifyResult?.problems ?? [],
    syncs: stats.syncs,
    recordsPerSync: stats.syncs > 0 ? records / stats.syncs : null,
    ackLatencyMs: stats.ackLatencyMs,
    writers: stats.writers.filter((writer) => writer.records > 0),
    producers: options.producers,
    partitions: config.partitions,
    durability: config.durability,
    appendedTo: parts.appendedTo,
    interrupted: parts.isInterrupted,
    position: tally.position,
  }
}

/** MB are of 1,000,000 bytes. */
export const BYTES_PER_MB = 1_000_000

export function perSecond(count: number, seconds: number): number {
  return seconds > 0 ? count / seconds : 0
}
