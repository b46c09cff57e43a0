// Runs seeded stories of a log on a simulated disk: `npm run torture -- --seeds 20000 --from 1`. What is checked is in
// packages/core/test/simulation/story.ts and packages/core/test/model; a failing seed is printed with the command that
// runs it again. With `--exhaustive`: fixed stories, with each fault at each of their calls.

import { parseArgs } from 'node:util'
import { commandFile, prepare, runNode } from './prepare.mjs'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    exhaustive: { type: 'boolean' },
  },
})
for (const [name, value] of Object.entries(values)) {
  if (typeof value === 'boolean' || /^\d+$/.test(value)) continue
  process.stderr.write(`--${name} takes a whole number, not '${value}'\n`)
  process.exit(2)
}
await prepare()
const tests = values.exhaustive ? 'exhaustive' : 'torture'
const file = `packages/core/test/simulation/${tests}.test.ts`
process.exit(
  await runNode(commandFile('vitest'), ['run', file, '--reporter=default', '--disableConsoleIntercept'], {
    env: {
      ...process.env,
      WALRUS_TORTURE_SEEDS: values.seeds,
      WALRUS_TORTURE_FROM: values.from,
      WALRUS_EXHAUSTIVE: '1',
    },
  }),
)
