import { EXIT_INTERRUPTED } from './exit-code.js'
import { Interrupts } from './interrupts.js'
import { Output } from './output.js'

/** What a subcommand has to work with. */
export interface CommandContext {
  stdout: Output
  stderr: Output
  env: NodeJS.ProcessEnv
  /** Aborted by the first Ctrl-C. A second one, which is no echo of it, ends the process at once. */
  interruptible(): AbortSignal
}

export function createContext(): CommandContext {
  const { env } = process
  return {
    stdout: new Output(process.stdout, env),
    stderr: new Output(process.stderr, env),
    env,
    interruptible() {
      const controller = new AbortController()
      const interrupts = new Interrupts()
      const interrupt = () => {
        const meaning = interrupts.take(performance.now())
        if (meaning === 'stop') controller.abort()
        if (meaning === 'now') process.exit(EXIT_INTERRUPTED)
      }
      process.on('SIGINT', interrupt)
      process.on('SIGTERM', interrupt)
      return controller.signal
    },
  }
}

/** Options that every subcommand has. */
export interface CommonOptions {
  dir: string
  namespace?: string
  json?: boolean
  verbose?: boolean
}
