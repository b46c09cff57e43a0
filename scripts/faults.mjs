// Faults on real files and with all threads, in numbers that the tests of every day leave out:
// `npm run faults -- --kills 500 --damaged 1000 --stories 200`. What is left out is not run.

import { parseArgs } from 'node:util'
import { commandFile, prepare, runNode } from './prepare.mjs'

/** What is asked for, the variable that says how often, and the test that reads it. @type {Record<string, [string, string]>} */
const CAMPAIGNS = {
  kills: ['WALRUS_KILLS', 'packages/actors/test/log/crash.test.ts'],
  damaged: ['WALRUS_DAMAGED_VARIANTS', 'packages/actors/test/log/damaged-directory.test.ts'],
  stories: ['WALRUS_MODEL_RUNS', 'packages/actors/test/model/whole-log.test.ts'],
}
const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    damaged: { type: 'string' },
    stories: { type: 'string' },
    seed: { type: 'string' },
  },
})
for (const [name, value] of Object.entries(values)) {
  if (/^\d+$/.test(value)) continue
  process.stderr.write(`--${name} takes a whole number, not '${value}'\n`)
  process.exit(2)
}
/** @type {NodeJS.ProcessEnv} */
const env = { ...process.env, ...(values.seed && { WALRUS_TEST_SEED: values.seed }) }
const files = ['packages/actors/test/log/places.test.ts']
for (const [name, [variable, file]] of Object.entries(CAMPAIGNS)) {
  const count = values[/** @type {'kills' | 'damaged' | 'stories'} */ (name)]
  if (count === undefined) continue
  env[variable] = count
  files.push(file)
}
await prepare()
process.exit(await runNode(commandFile('vitest'), ['run', ...files, '--reporter=default'], { env }))
