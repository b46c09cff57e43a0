import type { SupervisedWriter } from '../actor/supervised-writer.js'
import { LatencySummary } from '../memory/latency-histogram.js'
import {
  COUNTER_BATCHES,
  COUNTER_BYTES,
  COUNTER_RECORDS,
  COUNTER_SYNCS,
  COUNTER_SYNCS_OWN,
  COUNTER_WRITES,
  WRITER_COUNTERS_AT,
  WRITER_LATENCIES_AT,
  WRITER_SYNC_COUNTERS_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { LatencyStats, WalrusStats, WriterStats } from './stats.js'

/** Reads what the writers' threads have counted. */
export function readStats({ words, doubles }: SharedMemory, writers: readonly SupervisedWriter[]): WalrusStats {
  const all = new LatencySummary()
  const each = writers.map(({ writer, assignments }): WriterStats => {
    const at = writerAt(writer)
    const own = (at + WRITER_COUNTERS_AT) >>> 1
    const latencies = new LatencySummary()
    latencies.add(words, at + WRITER_LATENCIES_AT)
    all.add(words, at + WRITER_LATENCIES_AT)
    return {
      writer,
      partitions: [...assignments.values()].map(({ topic, partition }) => `${topic}/${partition}`),
      records: doubles[own + COUNTER_RECORDS],
      bytes: doubles[own + COUNTER_BYTES],
      batches: doubles[own + COUNTER_BATCHES],
      writes: doubles[own + COUNTER_WRITES],
      syncs: doubles[own + COUNTER_SYNCS_OWN] + doubles[((at + WRITER_SYNC_COUNTERS_AT) >>> 1) + COUNTER_SYNCS],
      ackLatencyMs: percentiles(latencies),
    }
  })
  const sum = (value: (stats: WriterStats) => number): number => each.reduce((total, stats) => total + value(stats), 0)
  return {
    writers: each,
    records: sum(({ records }) => records),
    bytes: sum(({ bytes }) => bytes),
    syncs: sum(({ syncs }) => syncs),
    ackLatencyMs: percentiles(all),
  }
}

function percentiles(latencies: LatencySummary): LatencyStats {
  return { p50: latencies.percentile(0.5), p99: latencies.percentile(0.99), p999: latencies.percentile(0.999) }
}
