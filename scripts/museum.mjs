// Puts every bug of scripts/museum back, one after the other, and shows that what found it finds it still: `npm run museum`, with
// `-- --only PART` for some of them. Exit code 1 where one is not found, or its patch fits no more. It works on a copy.
//
// A bug is a patch that brings it back, under a head of lines: `Bug:` what went wrong, `Mended-in:` the commit, `Test:` the file
// that finds it, `Name:` which of its tests (all, if left out), `Seed:` what its random choices begin with, and `Seeds:` how many of them are tried.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { configureTests, copyTree } from './copy-tree.mjs'
import { commandFile, prepare, root } from './prepare.mjs'

/** @typedef {{ name: string, file: string, bug: string, test: string, testName: string | undefined, seed: string, seeds: string }} Exhibit */

const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } })
await prepare()
const folder = join(root, 'scripts/museum')
const exhibits = readdirSync(folder)
  .filter((name) => name.endsWith('.patch') && name.includes(values.only))
  .sort()
  .map(readExhibit)
const place = copyTree({ packages: ['core', 'actors'], name: 'museum' })
configureTests(place)

/** @param {string} fileName @returns {Exhibit} */
function readExhibit(fileName) {
  const file = join(folder, fileName)
  const [head] = readFileSync(file, 'utf8').split('\ndiff --git')
  /** @param {string} field */
  const field = (field) => new RegExp(`^${field}: (.*)$`, 'm').exec(head)?.[1]
  const [bug, test] = [field('Bug'), field('Test')]
  if (bug === undefined || test === undefined) throw new Error(`${file} has no Bug: or no Test: in its head`)
  return {
    name: fileName.replace(/\.patch$/, ''),
    file,
    bug,
    test,
    testName: field('Name'),
    seed: field('Seed') ?? '1',
    seeds: field('Seeds') ?? '1',
  }
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<number>} exit code
 */
async function run(command, args, env = {}) {
  const child = spawn(command, args, { cwd: place, stdio: 'ignore', env: { ...process.env, ...env } })
  const stop = () => void child.kill('SIGKILL')
  process.once('exit', stop)
  const [code] = await once(child, 'exit')
  process.off('exit', stop)
  return code ?? 1
}

/** @param {Exhibit} exhibit */
const apply = ({ file }, back = false) => run('git', ['apply', '-C2', ...(back ? ['-R'] : []), file])
const build = () => run(process.execPath, [commandFile('typescript', 'tsc'), '-b', 'packages/core', 'packages/actors'])

/** Whether the exhibit's test passes. @param {Exhibit} exhibit */
async function passes({ test, testName, seed, seeds }) {
  const args = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', test, ...(testName ? ['-t', testName] : [])]
  const env = { WALRUS_TORTURE_SEEDS: seeds, WALRUS_TORTURE_FROM: seed, WALRUS_TEST_SEED: seed }
  return (await run(process.execPath, args, env)) === 0
}

/** @type {string[]} */
const lost = []
for (const exhibit of exhibits) {
  let outcome = 'found'
  if (!(await passes(exhibit))) outcome = 'NOT SOUND: its test fails without it'
  else if ((await apply(exhibit)) !== 0) outcome = 'DOES NOT APPLY'
  else {
    if ((await build()) !== 0) outcome = 'DOES NOT BUILD'
    else if (await passes(exhibit)) outcome = 'NOT FOUND'
    await apply(exhibit, true)
    await build()
  }
  if (outcome !== 'found') lost.push(exhibit.name)
  process.stdout.write(`${exhibit.name}: ${outcome}. ${exhibit.bug}\n`)
}
process.stdout.write(`${exhibits.length - lost.length} of ${exhibits.length} bugs are found\n`)
process.exit(lost.length === 0 ? 0 : 1)
