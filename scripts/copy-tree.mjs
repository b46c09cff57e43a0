// A copy of the tree for those who break it on purpose: sources, built files and tests are copied, dependencies are linked.

import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
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
 * Says to vitest which tests there are in a copy, and which are left out.
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
    testTimeout: 60_000,
    reporters: ['dot'],
  }
  const external = String.raw`server: { deps: { external: [/\/packages\/[^/]+\/dist\//] } }`
  writeFileSync(
    join(place, 'vitest.config.mjs'),
    `export default { test: { ...${JSON.stringify(settings)}, ${external} } }\n`,
  )
}
