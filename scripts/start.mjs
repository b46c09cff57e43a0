import { join } from 'node:path'
import { prepare, root } from './prepare.mjs'
import { runCommand } from './run-command.mjs'

await prepare()
await runCommand(join(root, 'packages/cluster/dist/command/main.js'), process.argv.slice(2))
