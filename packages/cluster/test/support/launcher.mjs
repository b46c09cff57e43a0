// Runs a program as `npm start` does.

import { runCommand } from '../../../../scripts/run-command.mjs'

const [file, ...commandArguments] = process.argv.slice(2)
await runCommand(file, commandArguments)
