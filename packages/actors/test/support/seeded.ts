import fc from 'fast-check'

/** Seed of every random choice in a test process: `WALRUS_TEST_SEED=<seed> npx vitest run <file>` runs the same again. */
export const SEED = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() & 0x7fff_ffff)

/** What a failing test says, so that it can be run again. */
export const replay = `replay with WALRUS_TEST_SEED=${SEED}`

/** Runs a property; a failure prints its seed and the smallest counterexample. */
export function check<Values>(arbitrary: fc.Arbitrary<Values>, predicate: (values: Values) => void, runs = 200): void {
  const property = fc.property(arbitrary, (values) => {
    // What an assertion returns is not a verdict.
    predicate(values)
  })
  try {
    fc.assert(property, { seed: SEED, numRuns: runs })
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${replay}`, { cause: (error as Error).cause })
  }
}

export { fc }
