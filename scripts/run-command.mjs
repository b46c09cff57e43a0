// Runs one of our programs as if it had been started directly: its streams, its signals, its exit code.

import { spawn } from 'node:child_process'

/** npm passes a signal on to us even where the terminal has sent it to the whole group, so a pair counts as one. */
const signalPairMs = 500

/**
 * @param {string} file
 * @param {string[]} commandArguments
 */
export function runCommand(file, commandArguments) {
  // npm starts scripts in the root; a path that somebody typed counts from where they stand.
  const cwd = process.env['INIT_CWD'] ?? process.cwd()
  const child = spawn(process.execPath, [file, ...commandArguments], { cwd, stdio: 'inherit' })

  /** @type {Map<NodeJS.Signals, number>} */
  const forwardedAt = new Map()
  /** @type {NodeJS.SignalsListener} */
  const forward = (signal) => {
    const now = performance.now()
    if (now - (forwardedAt.get(signal) ?? Number.NEGATIVE_INFINITY) < signalPairMs) return
    forwardedAt.set(signal, now)
    child.kill(signal)
  }
  /** @type {NodeJS.SignalsListener} */
  const interrupt = (signal) => {
    // On a terminal Ctrl-C has reached the child already, and twice would mean "at once" to it.
    if (!process.stdin.isTTY) forward(signal)
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', forward)
  process.on('SIGHUP', forward)

  child.on('error', (error) => {
    process.stderr.write(`${file} could not be started: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.off('SIGINT', interrupt).off('SIGTERM', forward).off('SIGHUP', forward)
    // Ends us the way the child ended, so that a shell sees the same.
    process.kill(process.pid, signal)
  })
}
