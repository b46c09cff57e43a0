import { LATENCY_WORDS } from './layout.js'

/**
 * A histogram of durations in shared words: buckets grow with the value (32 to each doubling, thus at most 3 % wide),
 * from 1 microsecond to over an hour. The layout is HdrHistogram's idea of a log-linear table, with one digit.
 */
const SUB_BUCKETS = 32
const SUB_BITS = 5

/** Adds `count` samples of `ms`. Any thread: a writer and its sync thread settle different partitions at the same time. */
export function recordLatency(words: Int32Array, at: number, ms: number, count: number): void {
  Atomics.add(words, at + bucketOf(Math.max(Math.round(ms * 1000), 0)), count)
}

function bucketOf(microseconds: number): number {
  if (microseconds < SUB_BUCKETS) return microseconds
  const value = Math.min(microseconds, 2 ** 32 - 1)
  const exponent = 31 - Math.clz32(value) - SUB_BITS
  return Math.min((exponent + 1) * SUB_BUCKETS + ((value >>> exponent) - SUB_BUCKETS), LATENCY_WORDS - 1)
}

function bucketStartMicroseconds(bucket: number): number {
  if (bucket < SUB_BUCKETS) return bucket
  const exponent = Math.floor(bucket / SUB_BUCKETS) - 1
  return ((bucket % SUB_BUCKETS) + SUB_BUCKETS) * 2 ** exponent
}

/** A copy of a histogram's counts, to be added to others and asked for percentiles. */
export class LatencySummary {
  readonly counts = new Float64Array(LATENCY_WORDS)

  add(words: Int32Array, at: number): void {
    for (let bucket = 0; bucket < LATENCY_WORDS; bucket++) this.counts[bucket] += words[at + bucket] >>> 0
  }

  get total(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  /** The value in milliseconds that the share `quantile` (0 to 1) of samples does not exceed; 0 without samples. */
  percentile(quantile: number): number {
    let left = Math.ceil(this.total * quantile)
    if (left === 0) return 0
    for (let bucket = 0; bucket < LATENCY_WORDS; bucket++) {
      left -= this.counts[bucket]
      if (left <= 0) return bucketStartMicroseconds(bucket + 1) / 1000
    }
    return 0
  }
}
