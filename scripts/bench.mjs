import { join } from 'node:path'
import { prepare, root } from './prepare.mjs'
import { runCommand } from './run-command.mjs'

await prepare()
await runCommand(join(root, 'bench/dist/main.js'), process.argv.slice(2))
