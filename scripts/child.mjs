// Runs a child process to its end. Whoever stops us stops it too, and it is never left running behind us.

import { spawn } from 'node:child_process'
import { constants } from 'node:os'

/** As shells count it: 128 and the number of SIGINT. */
export const EXIT_INTERRUPTED = 130

/** @type {NodeJS.Signals[]} */
const SIGNALS_PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * Every signal is passed on. The child may have it already, from the terminal, and once more from npm by way of us; nothing
 * here can know, so the command counts a signal and its echoes as one (packages/cluster/src/command/interrupts.ts).
 *
 * @param {string} file
 * @param {string[]} commandArguments
 * @param {import('node:child_process').SpawnOptions} options
 * @returns {Promise<{ status: number, isStopped: boolean }>} stopped: a signal has asked us to end
 */
export function runChild(file, commandArguments, options) {
  return new Promise((resolve, reject) => {
    let isStopped = false
    /** @type {NodeJS.SignalsListener} */
    const passOn = (signal) => {
      isStopped = true
      // On Windows the console tells every process of Ctrl-C, and `kill` would end the child without asking it.
      if (process.platform !== 'win32') child.kill(signal)
    }
    const stopListening = () => {
      for (const signal of SIGNALS_PASSED_ON) process.off(signal, passOn)
    }
    // Before there is a child: a signal in between would end us and leave it behind.
    for (const signal of SIGNALS_PASSED_ON) process.on(signal, passOn)
    const child = spawn(file, commandArguments, options)
    child.on('error', (error) => {
      stopListening()
      reject(error)
    })
    child.on('exit', (code, signal) => {
      stopListening()
      resolve({ status: code ?? 128 + (signal ? constants.signals[signal] : 0), isStopped })
    })
  })
}
