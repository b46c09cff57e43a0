import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import type { CommandAction } from './action.js'
import { addBackup } from './backup.js'
import { createContext } from './context.js'
import { addDelete } from './delete.js'
import { addDump } from './dump.js'
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, exitCodeOf } from './exit-code.js'
import { addIngest } from './ingest.js'
import type { Output } from './output.js'
import { addRead } from './read.js'
import { addStats } from './stats.js'
import { addTopics } from './topics.js'
import { addTrim } from './trim.js'
import { addVerify } from './verify.js'

const DIR_DEFAULT = './data'

/** Runs a command line and returns its exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const context = createContext()
  const { stdout, stderr } = context
  let exitCode = EXIT_OK
  const program = new Command('walrus')
    .description('A durable append-only log: put data in, look at it, read it.')
    .version(version())
    .option('--verbose', 'show the stack of an error (also with DEBUG set)')
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      getOutHelpWidth: () => stdout.columns ?? 100,
      getErrHelpWidth: () => stderr.columns ?? 100,
    })
    .showHelpAfterError('(walrus --help says more)')
    .exitOverride()
  const action: CommandAction = async (run) => {
    exitCode = await run()
  }
  for (const add of [addIngest, addTopics, addRead, addStats, addVerify, addBackup, addTrim, addDelete]) {
    addCommonOptions(add(program, context, action))
  }
  addDump(program, context, action)
  try {
    await program.parseAsync(argv)
  } catch (error) {
    exitCode = failed(error, stderr, program.opts<{ verbose?: boolean }>().verbose || Boolean(context.env['DEBUG']))
  }
  await Promise.all([stdout.end(), stderr.end()])
  return exitCode
}

function addCommonOptions(command: Command): void {
  command
    .showHelpAfterError(`(walrus ${command.name()} --help says more)`)
    .addOption(new Option('--dir <directory>', 'directory of the log').env('WALRUS_DATA_DIR').default(DIR_DEFAULT))
    .addOption(new Option('--namespace <name>', 'a log of its own below the directory').env('WALRUS_INSTANCE_KEY'))
}

function failed(error: unknown, stderr: Output, isVerbose: boolean): number {
  if (error instanceof CommanderError) {
    // Help and the version come as errors too, with code 0. commander has written what there is to say.
    return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE
  }
  const message = error instanceof Error ? error.message : String(error)
  stderr.line(stderr.colours.red(isVerbose && error instanceof Error ? (error.stack ?? message) : message))
  return error instanceof Error ? exitCodeOf(error) : EXIT_FAILED
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
}
