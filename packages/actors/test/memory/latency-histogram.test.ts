import { describe, expect, it } from 'vitest'
import { LatencySummary, recordLatency } from '#actors/memory/latency-histogram.js'
import { LATENCY_WORDS } from '#actors/memory/layout.js'
import { check, fc } from '../support/seeded.js'

function summaryOf(samplesMs: readonly number[]): LatencySummary {
  const words = new Int32Array(LATENCY_WORDS + 7)
  for (const ms of samplesMs) recordLatency(words, 7, ms, 1)
  const summary = new LatencySummary()
  summary.add(words, 7)
  return summary
}

/** The smallest sample that the share of samples does not exceed. */
function exactPercentile(samplesMs: readonly number[], quantile: number): number {
  const sorted = [...samplesMs].sort((a, b) => a - b)
  return sorted[Math.max(Math.ceil(sorted.length * quantile), 1) - 1]
}

describe('the latency histogram', () => {
  it('gives percentiles that are at most 3.2 % (or one microsecond) above the exact ones, and never below', () => {
    const sample = fc.oneof(
      fc.double({ min: 0, max: 0.1, noNaN: true }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.integer({ min: 0, max: 3_600_000 }),
    )
    const quantiles = fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 })
    check(
      fc.record({ samples: fc.array(sample, { minLength: 1, maxLength: 300 }), quantiles }),
      ({ samples, quantiles }) => {
        const summary = summaryOf(samples)
        expect(summary.total).toBe(samples.length)
        for (const quantile of [...quantiles, 0.5, 0.99, 1]) {
          const exact = exactPercentile(samples, quantile)
          const given = summary.percentile(quantile)
          expect(given).toBeGreaterThanOrEqual(exact)
          // A sample is rounded to whole microseconds, and a bucket's end is given.
          expect(given).toBeLessThanOrEqual((exact + 0.0005) * (1 + 1 / 32) + 0.001 + 1e-9)
        }
      },
    )
  })

  it('is exact to the microsecond up to 32 of them', () => {
    for (let us = 0; us < 32; us++) expect(summaryOf([us / 1000]).percentile(0.5)).toBeCloseTo((us + 1) / 1000, 9)
  })

  it('keeps what is longer than it reaches in its last bucket, and what is negative in its first', () => {
    const overAnHour = summaryOf([3_700_000]).percentile(1)
    expect(overAnHour).toBeGreaterThan(3_700_000)
    expect(summaryOf([1e12]).percentile(1)).toBeGreaterThan(4_200_000)
    expect(summaryOf([-5]).percentile(1)).toBe(0.001)
  })

  it('says 0 where there are no samples', () => {
    expect(summaryOf([]).percentile(0.99)).toBe(0)
  })

  it('adds the counts of several, also those beyond 2^31', () => {
    const words = new Int32Array(LATENCY_WORDS)
    recordLatency(words, 0, 1, 2 ** 31 - 1)
    recordLatency(words, 0, 1, 5)
    const summary = new LatencySummary()
    summary.add(words, 0)
    summary.add(words, 0)
    expect(summary.total).toBe(2 * (2 ** 31 + 4))
  })
})
