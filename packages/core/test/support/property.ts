import fc from 'fast-check'

const SEED = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() & 0x7fff_ffff)

/** Runs a property. A failure prints its seed; `WALRUS_TEST_SEED=<seed> npx vitest run <file>` runs the same again. */
export function check<Values>(arbitrary: fc.Arbitrary<Values>, predicate: (values: Values) => void, runs = 200): void {
  const property = fc.property(arbitrary, (values) => {
    // What an assertion returns is not a verdict.
    predicate(values)
  })
  fc.assert(property, { seed: SEED, numRuns: runs })
}

export { fc }
