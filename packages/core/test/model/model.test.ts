import { describe, expect, it } from 'vitest'
import { modelOnce } from './run-model.js'

const SEED = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() % 1_000_000_000)
const RUNS = Number(process.env['WALRUS_MODEL_RUNS'] ?? 150)

describe(`a log beside its model (WALRUS_TEST_SEED=${SEED})`, () => {
  it('agrees with it, whatever is done, and whatever fails, dies or loses its power meanwhile', { timeout: 0 }, () => {
    const counts = { recoveries: 0, faults: new Map() }
    for (let seed = SEED; seed < SEED + RUNS; seed++) modelOnce(seed, counts)
    expect(counts.recoveries).toBeGreaterThan(RUNS)
    expect([...counts.faults.keys()]).toContain('power lost')
  })
})
