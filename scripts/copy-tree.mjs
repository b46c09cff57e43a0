// A copy of the tree for those who break it on purpose: sources, built files and tests are copied, dependencies are linked.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './prepare.mjs'

const SHARED = ['docs', 'scripts', 'tsconfig.base.json']

/**
 * Copies what the packages' tests need; the copy is gone when the process ends.
 *
 * @param {{ packages: string[], name: string }} options
 * @returns {string} the copy's root
 */
export function copyTree({ packages, name }) {
  const place = mkdtempSync(join(tmpdir(), `walrus-${name}-`))
  process.on('exit', () => rmSync(place, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  for (const part of SHARED) cpSync(join(root, part), join(place, part), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  for (const folder of packages) {
    const from = join(root, 'packages', folder)
    const to = join(place, 'packages', folder)
    // Links between the packages lead to those of the copy, for they are relative.
    cpSync(from, to, { recursive: true, verbatimSymlinks: true, filter: (file) => !file.includes('/node_modules/.') })
  }
  return place
}

/**
 * Says to vitest which tests there are in a copy, and which are left out. They run in the order of `WALRUS_TESTS_FIRST`, a list of
 * parts of their names, and otherwise by how long they took in the run before, up to the first that fails.
 *
 * @param {string} place
 * @param {string[]} [exclude]
 */
export function configureTests(place, exclude = []) {
  const settings = {
    include: ['packages/*/test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', ...exclude],
    pool: 'forks',
    // One process for many files: most of a short run would be the start of processes.
    isolate: false,
    maxWorkers: 2,
    bail: 1,
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: ['dot', 'json'],
    outputFile: { json: join(place, 'results.json') },
  }
  writeFileSync(
    join(place, 'vitest.config.mjs'),
    `import { existsSync, readFileSync } from 'node:fs'
const order = ${JSON.stringify(join(place, 'order.json'))}
const took = existsSync(order) ? JSON.parse(readFileSync(order, 'utf8')) : {}
const first = (process.env.WALRUS_TESTS_FIRST ?? '').split(',').filter(Boolean)
const rank = ({ moduleId }) => {
  const at = first.findIndex((part) => moduleId.includes(part))
  return (at === -1 ? 1e9 : at * 1e6) + (took[moduleId] ?? 0)
}
class Sequencer {
  shard(files) { return files }
  sort(files) { return [...files].sort((left, right) => rank(left) - rank(right)) }
}
const settings = ${JSON.stringify(settings)}
const server = { deps: { external: [/\\/packages\\/[^/]+\\/dist\\//] } }
export default { test: { ...settings, server, sequence: { sequencer: Sequencer } } }
`,
  )
}

/** Remembers how long each file of the run before took. @param {string} place */
export function rememberOrder(place) {
  const { testResults } = JSON.parse(readFileSync(join(place, 'results.json'), 'utf8'))
  /** @type {Record<string, number>} */
  const took = {}
  for (const { name, startTime, endTime } of testResults) took[name] = endTime - startTime
  writeFileSync(join(place, 'order.json'), JSON.stringify(took))
}
