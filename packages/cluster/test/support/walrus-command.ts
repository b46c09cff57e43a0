import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { IngestSummary } from '#cluster/index.js'

export const commandFile = fileURLToPath(new URL('../../dist/command/main.js', import.meta.url))

const launcherFile = fileURLToPath(new URL('./launcher.mjs', import.meta.url))

export interface CommandResult {
  code: number | null
  stdout: string
  stderr: string
}

export interface RunningCommand {
  child: ChildProcess
  /** What has been written so far. */
  output: { stdout: string; stderr: string }
  /** Resolves when standard error has the text; rejects when the command ends without it. */
  told(text: string | RegExp): Promise<void>
  ended: Promise<CommandResult>
}

export interface StartOptions {
  env?: NodeJS.ProcessEnv
  /** So many processes, each of which starts the next one and passes its signals on, stand before the command. */
  launchersCount?: number
}

/** Starts the command in a process group of its own. What it leaves running dies with the test. */
export function startWalrus(commandArguments: string[], options: StartOptions = {}): RunningCommand {
  const { launchersCount = 0 } = options
  const env = { ...process.env, WALRUS_DATA_DIR: undefined, DEBUG: undefined, ...options.env }
  const files = [...Array.from({ length: launchersCount }, () => launcherFile), commandFile]
  const child = spawn(process.execPath, [...files, ...commandArguments], { env, stdio: 'pipe', detached: true })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  // A command that ends early leaves its input unread; that shows in its exit code.
  child.stdin.on('error', () => {})
  onTestFinished(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
  })
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }))
  return {
    child,
    output,
    ended,
    async told(text) {
      const has = () => (typeof text === 'string' ? output.stderr.includes(text) : text.test(output.stderr))
      while (!has()) {
        const isEnd = await Promise.race([once(child.stderr, 'data').then(() => false), ended.then(() => true)])
        if (isEnd && !has()) throw new Error(`the command ended without ${text}: ${output.stderr}`)
      }
    },
  }
}

/** Runs the command to its end. */
export async function walrus(commandArguments: string[], input?: string | Uint8Array): Promise<CommandResult> {
  const { child, ended } = startWalrus(commandArguments)
  child.stdin!.end(input)
  return ended
}

/** Runs an ingest with `--json`, and checks that standard output holds nothing else. */
export async function walrusIngest(
  commandArguments: string[],
  input?: string | Uint8Array,
): Promise<CommandResult & { summary: IngestSummary }> {
  const result = await walrus(['ingest', ...commandArguments, '--json'], input)
  if (!/^\{.*\}\n$/.test(result.stdout)) throw new Error(`no JSON on standard output: ${JSON.stringify(result)}`)
  return { ...result, summary: JSON.parse(result.stdout) }
}

/** The values of a topic, in the order of reading. */
export async function valuesOf(dir: string, topic: string): Promise<string[]> {
  const { code, stdout, stderr } = await walrus(['read', topic, '--dir', dir, '--values'])
  if (code !== 0) throw new Error(stderr)
  return stdout.split('\n').slice(0, -1)
}
