#!/usr/bin/env node
import { runCommandLine } from './command-line.js'

process.exitCode = await runCommandLine(process.argv)
// What could still keep the process alive, such as a standard input that nobody reads to its end, is of no use any more.
process.exit()
