// Removes each sync, each checksum check and each bounds check of the storage engine in turn, and runs its tests against
// what is left: `npm run mutants [-- --only PART --from NUMBER --seeds N --tests PART,PART --list]`. Exit code 1
// where the tests do not notice one. It works on a copy.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { configureTests, copyTree, rememberOrder } from './copy-tree.mjs'
import { prepare, root } from './prepare.mjs'

/** @typedef {{ file: string, line: number, what: string, from: number, to: number, replacement: string }} Mutant */

const SYNCED = [
  'cursor/cursor-store.js',
  'log/cut-partition.js',
  'log/forget.js',
  'log/partition-log.js',
  'log/partition-recovery.js',
  'log/state-file.js',
  'log/topic-store.js',
  'segment/open-segment.js',
  'storage/publish-file.js',
  'segment/seal.js',
  'storage/node-file-system.js',
  'verify/repair-partition.js',
]
const CHECKED = [
  'cursor/cursor.js',
  'format/batch.js',
  'format/gaps-file.js',
  'format/index-file.js',
  'format/partition-state.js',
  'format/producers-file.js',
  'format/record.js',
  'format/segment-header.js',
  'segment/gaps.js',
  'segment/scan.js',
  'segment/seal.js',
  'segment/segment-reader.js',
  'log/lost-header.js',
  'log/partition-recovery.js',
  'log/producer-recovery.js',
  'log/producer-registry.js',
  'log/producer-state.js',
  'log/recovered-segment.js',
  'log/topic-file.js',
  'log/topic-store.js',
]
/** Checks that are no condition of an `if`, and what is written in their place. @type {[string, string, string][]} */
const OTHER_CHECKS = [
  ['format/batch.js', 'batchChecksum(region, at) === region.hash(at + BATCH_CHECKSUM_FROM, at + length)', 'true'],
  ['format/index-file.js', '(offset < baseOffset + recordCount && position < dataBytes)', 'true'],
  ['format/record.js', 'parts.next <= end', 'true'],
  ['segment/scan.js', 'batchBaseOffset(region, at) === offset', 'true'],
  ['segment/scan.js', 'batchBaseOffset(this.region, this.at) >= offset', 'true'],
  ['segment/segment-reader.js', 'expected === found', 'true'],
  ['log/partition-recovery.js', 'rewrite(file, 0, Math.min(SEGMENT_HEADER_BYTES, dataBytes))', 'void 0'],
  ['log/partition-recovery.js', 'rewrite(file, position, dataBytes)', 'void 0'],
  ['log/topic-file.js', 'text === withCheck(settings)', 'true'],
]
/** What these tests are for lies outside the mutants' reach, or takes long and sees what others see. */
const TESTS_LEFT_OUT = ['**/directory-lock.test.ts', '**/torn-tail.test.ts']
/** Longer than the slowest run: a mutant that hangs is noticed too. */
const TIMEOUT_MS = 1_800_000

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1000' },
    tests: { type: 'string', default: '' },
    list: { type: 'boolean' },
  },
})
await prepare()
/** All of them, unless parts of their names are given. */
const tests = values.tests.split(',').filter(Boolean)
const dist = join(root, 'packages/core/dist')

/** @param {string} file @param {string} text @returns {Mutant[]} */
function syncsOf(file, text) {
  const mutants = []
  for (const match of text.matchAll(
    /^[^\n]*?([\w.#!]*\b(?:sync|#syncEntry|syncDirectory|fdatasyncSync|fsyncSync)\([^;\n]*\));/gm,
  )) {
    if (/^\s*(\/\/|\*)/.test(match[0])) continue
    const from = match.index + match[0].lastIndexOf(match[1])
    const to = from + match[1].length
    mutants.push({ file, line: lineOf(text, from), what: `without ${match[1]}`, from, to, replacement: 'void 0' })
  }
  return mutants
}

/** Each operand of each condition that leads to a refusal. @param {string} file @param {string} text @returns {Mutant[]} */
function checksOf(file, text) {
  const mutants = []
  for (const match of text.matchAll(/\bif \(/g)) {
    const from = match.index + match[0].length
    const to = closing(text, from)
    if (!/^\)\s*\{?\s*(throw\b|return (undefined|false|'|corrupt)|damage = )/.test(text.slice(to, to + 60))) continue
    for (const [start, end] of operands(text, from, to)) {
      const what = `without "${text.slice(start, end).replace(/\s+/g, ' ')}"`
      mutants.push({ file, line: lineOf(text, start), what, from: start, to: end, replacement: 'false' })
    }
  }
  return mutants
}

/** @param {string} text @param {number} from */
function closing(text, from) {
  for (let at = from, depth = 0; ; at++) {
    if (text[at] === '(') depth++
    else if (text[at] === ')' && depth-- === 0) return at
  }
}

/** Parts between the outermost `||`. @param {string} text @param {number} from @param {number} to */
function operands(text, from, to) {
  const parts = []
  let start = from
  for (let at = from, depth = 0; at < to; at++) {
    if ('([{'.includes(text[at])) depth++
    else if (')]}'.includes(text[at])) depth--
    else if (depth === 0 && text.startsWith('||', at)) {
      parts.push([start, at])
      start = at + 2
    }
  }
  parts.push([start, to])
  return parts.map(([partFrom, partTo]) => {
    const part = text.slice(partFrom, partTo)
    return [partFrom + part.length - part.trimStart().length, partTo - part.length + part.trimEnd().length]
  })
}

/** @param {string} text @param {number} at */
const lineOf = (text, at) => text.slice(0, at).split('\n').length

/** @param {string} file @param {string} text @returns {Mutant[]} */
function otherChecksOf(file, text) {
  return OTHER_CHECKS.filter(([of]) => of === file).map(([, check, replacement]) => {
    const from = text.indexOf(check)
    if (from === -1) throw new Error(`${file} has no "${check}" any more; mend the list in scripts/mutants.mjs`)
    return { file, line: lineOf(text, from), what: `without "${check}"`, from, to: from + check.length, replacement }
  })
}

/** As they are now, whoever builds meanwhile. @type {Map<string, string>} */
const texts = new Map()
/** @param {string} file */
function read(file) {
  const text = texts.get(file) ?? readFileSync(join(dist, file), 'utf8')
  texts.set(file, text)
  return text
}
const mutants = [
  ...SYNCED.flatMap((file) => syncsOf(file, read(file))),
  ...CHECKED.flatMap((file) => [...checksOf(file, read(file)), ...otherChecksOf(file, read(file))]),
]
/** @param {Mutant} mutant */
const nameOf = ({ file, line, what }) => `${file.replace(/\.js$/, '')}:${line} ${what}`
const chosen = mutants.filter((mutant) => nameOf(mutant).includes(values.only))
if (values.list) {
  for (const mutant of chosen) process.stdout.write(`${nameOf(mutant)}\n`)
  process.exit(0)
}

const place = copyTree({ packages: ['core'], name: 'mutants' })
const copy = join(place, 'packages/core')
configureTests(place, TESTS_LEFT_OUT)

/**
 * Runs the tests against what is in the copy now, those of a mutant's own file and folder first.
 *
 * @param {string} file
 * @param {import('node:child_process').StdioOptions} [stdio]
 * @returns {Promise<'passed' | 'failed' | 'hung'>}
 */
async function run(file, stdio = 'ignore') {
  const child = spawn(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...tests], {
    cwd: place,
    env: {
      ...process.env,
      // The same seeds for every mutant.
      WALRUS_TORTURE_SEEDS: values.seeds,
      WALRUS_TORTURE_FROM: '1',
      WALRUS_TEST_SEED: '1',
      WALRUS_TESTS_FIRST: `test/${file.replace(/\.js$/, '.test')},test/${dirname(file)}/`,
    },
    stdio,
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  const stop = () => void child.kill('SIGKILL')
  process.once('exit', stop)
  const [code, signal] = await once(child, 'exit')
  process.off('exit', stop)
  if (signal !== null) return 'hung'
  return code === 0 ? 'passed' : 'failed'
}

if ((await run('', ['ignore', 2, 2])) !== 'passed') {
  process.stderr.write('The tests fail without any mutant; mend that first\n')
  process.exit(2)
}
rememberOrder(place)
const WORDS = { passed: 'UNNOTICED', failed: 'noticed  ', hung: 'hung     ' }
const unnoticed = []
for (const [at, mutant] of chosen.entries()) {
  if (at + 1 < Number(values.from)) continue
  const file = join(copy, 'dist', mutant.file)
  const text = read(mutant.file)
  writeFileSync(file, text.slice(0, mutant.from) + mutant.replacement + text.slice(mutant.to))
  const outcome = await run(mutant.file)
  writeFileSync(file, text)
  if (outcome === 'passed') unnoticed.push(mutant)
  process.stdout.write(`${at + 1}/${chosen.length} ${WORDS[outcome]} ${nameOf(mutant)}\n`)
}
process.stdout.write(`${chosen.length - unnoticed.length} of ${chosen.length} mutants are noticed\n`)
for (const mutant of unnoticed) process.stdout.write(`  not noticed: ${nameOf(mutant)}\n`)
process.exit(unnoticed.length === 0 ? 0 : 1)
