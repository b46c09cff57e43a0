// Prints `N passed, N failed` for the last test run. The first argument is the number of checks that failed beside the
// tests, the second the exit code of `npm test`: a red run never prints `0 failed`.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory, readJson } from './prepare.mjs'

const [checksFailed = '0', testStatus = '0'] = process.argv.slice(2)
const resultsFile = join(cacheDirectory, 'vitest-results.json')

let passed = 0
let failed = 0
if (existsSync(resultsFile)) {
  const results = readJson(resultsFile)
  passed = results.numPassedTests
  failed = results.numFailedTests
  // A file that could not be loaded has no tests to count, and is a failure all the same.
  for (const file of results.testResults) {
    if (file.status === 'failed' && file.assertionResults.length === 0) failed++
  }
}
if (testStatus !== '0' && failed === 0) failed = 1
process.stdout.write(`${passed} passed, ${failed + Number(checksFailed)} failed\n`)
