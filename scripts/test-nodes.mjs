// Runs the tests once on each line of Node that Walrus supports. The binaries come from the package registry and stay in
// the cache, so only Node and npm need to be on the machine.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { cacheDirectory, commandFile, prepare, readJson, root } from './prepare.mjs'

const majorsSupported = ['20', '22', '24', '26']
const isWindows = process.platform === 'win32'

const { values, positionals } = parseArgs({
  options: { only: { type: 'string' }, update: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const majors = values.only?.split(',').map((major) => major.trim()) ?? majorsSupported
for (const major of majors) {
  if (majorsSupported.includes(major)) continue
  process.stderr.write(`Node ${major} is not one of ${majorsSupported.join(', ')}\n`)
  process.exit(2)
}

// The `node` package finds these names in an install script; asking for the platform's package needs no script.
function nodePackageName() {
  const platform = isWindows ? 'win' : process.platform
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node'
  return `${prefix}-${platform}-${process.arch}`
}

/** @param {string} major */
function fetchNode(major) {
  const name = nodePackageName()
  const folder = join(cacheDirectory, 'nodes', major)
  const packageFolder = join(folder, 'node_modules', name)
  if (values.update) rmSync(folder, { recursive: true, force: true })
  if (!existsSync(join(packageFolder, 'package.json'))) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
    process.stderr.write(`Fetching Node ${major}\n`)
    const { status } = spawnSync(
      'npm',
      ['install', '--loglevel=error', '--no-audit', '--no-fund', '--no-package-lock', `${name}@${major}`],
      { cwd: folder, stdio: ['ignore', 2, 2], shell: isWindows },
    )
    if (status !== 0) throw new Error(`Node ${major} could not be fetched as ${name}@${major}`)
  }
  const { bin, version } = readJson(join(packageFolder, 'package.json'))
  return { file: join(packageFolder, bin.node), version }
}

/** @param {string} major */
function testOn(major) {
  const { file, version } = fetchNode(major)
  const resultsFile = join(cacheDirectory, `vitest-results-${major}.json`)
  const logFile = join(cacheDirectory, `vitest-${major}.log`)
  rmSync(resultsFile, { force: true })
  const start = performance.now()
  const { status, stdout, stderr } = spawnSync(file, [commandFile('vitest'), 'run', ...positionals], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    env: {
      ...process.env,
      // A test that starts plain `node` means this one too.
      PATH: `${dirname(file)}${delimiter}${process.env['PATH'] ?? ''}`,
      WALRUS_TEST_RESULTS: resultsFile,
    },
  })
  writeFileSync(logFile, stdout + stderr)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const results = existsSync(resultsFile) ? readJson(resultsFile) : undefined
  const counts = results
    ? `${results.numPassedTests} passed, ${results.numFailedTests} failed`
    : 'the run ended before its results were written'
  const isPassed = status === 0 && results !== undefined
  if (!isPassed) process.stderr.write(readFileSync(logFile, 'utf8'))
  process.stdout.write(`Node ${version}: ${isPassed ? 'ok' : 'FAILED'}, ${counts} (${seconds} s)\n`)
  return isPassed
}

await prepare()
let isAllPassed = true
for (const major of majors) {
  try {
    isAllPassed = testOn(major) && isAllPassed
  } catch (error) {
    process.stdout.write(`Node ${major}: FAILED, ${error instanceof Error ? error.message : error}\n`)
    isAllPassed = false
  }
}
process.exit(isAllPassed ? 0 : 1)
