// The checks that look at files instead of running them. Each installs and builds what it needs first.

import { relative } from 'node:path'
import { build, commandFile, install, packageFolders, readJson, root, runNode } from './prepare.mjs'

/** @param {string[]} commandArguments */
const biome = (...commandArguments) => runNode(commandFile('@biomejs/biome', 'biome'), commandArguments)

async function publint() {
  let status = 0
  for (const folder of packageFolders()) {
    if (readJson(`${folder}/package.json`).private) continue
    status ||= await runNode(commandFile('publint'), ['run', relative(root, folder), '--strict', '--pack', 'npm'])
  }
  return status
}

/** @type {Record<string, (commandArguments: string[]) => Promise<number>>} */
const checks = {
  lint: (paths) => biome('lint', '--error-on-warnings', ...paths),
  format: (paths) => biome('check', '--write', '--linter-enabled=false', ...paths),
  'format:check': (paths) => biome('check', '--linter-enabled=false', ...paths),
  types: async () => {
    await build()
    return runNode(commandFile('typescript', 'tsc'), ['-p', 'tsconfig.test.json'])
  },
  // Who may import whom (biome.json), and whether the packages hold what their package.json promises.
  rules: async () => {
    await build()
    return (await biome('lint', '--only=noRestrictedImports', '--only=noImportCycles', '.')) || publint()
  },
}

const [name = '', ...commandArguments] = process.argv.slice(2)
const check = checks[name]
if (!check) {
  process.stderr.write(`Unknown check '${name}'; one of: ${Object.keys(checks).join(', ')}\n`)
  process.exit(2)
}
await install()
process.exit(await check(commandArguments))
