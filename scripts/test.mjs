import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory, commandFile, install, prepare, runNode } from './prepare.mjs'

// Old results must not pass for those of a run that never got to its tests.
await install()
rmSync(join(cacheDirectory, 'vitest-results.json'), { force: true })
await prepare()

const typesStatus = await runNode(commandFile('typescript', 'tsc'), ['-p', 'tsconfig.test.json'])
const testStatus = await runNode(commandFile('vitest'), ['run', ...process.argv.slice(2)])
if (typesStatus !== 0) process.stderr.write('The tests do not type-check\n')
process.exit(testStatus || typesStatus)
