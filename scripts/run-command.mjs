// Runs one of our programs as if it had been started directly: its streams, its signals, its exit code.

import { runChild } from './child.mjs'

/**
 * Ends the process with the program.
 *
 * @param {string} file
 * @param {string[]} commandArguments
 */
export async function runCommand(file, commandArguments) {
  // npm starts scripts in the root; a path that somebody typed counts from where they stand.
  const cwd = process.env['INIT_CWD'] ?? process.cwd()
  const { status } = await runChild(process.execPath, [file, ...commandArguments], { cwd, stdio: 'inherit' })
  process.exit(status)
}
