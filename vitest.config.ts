import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: [
      'packages/*/test/**/*.test.ts',
      'examples/**/*.test.ts',
      'scripts/**/*.test.ts',
      'bench/test/**/*.test.ts',
    ],
    exclude: ['**/node_modules/**', '**/dist/**'],
    // Tests start worker threads of their own, so each file gets a process.
    pool: 'forks',
    // Each file keeps several threads busy already; more files at once only make waits look like failures.
    maxWorkers: 2,
    // Only against what never ends: how long a test takes says nothing on a machine that others use too.
    testTimeout: process.env['WALRUS_EXHAUSTIVE'] ? 0 : 180_000,
    hookTimeout: 60_000,
    passWithNoTests: true,
    reporters: ['default', 'json'],
    outputFile: { json: process.env['WALRUS_TEST_RESULTS'] ?? 'node_modules/.cache/vitest-results.json' },
    // What is tested is what is published: Node itself loads the built files, once per process, in tests as in workers.
    server: { deps: { external: [/\/(packages\/[^/]+|bench|examples)\/dist\//] } },
  },
})
