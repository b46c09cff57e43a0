// What every script needs before its own work: dependencies installed, packages built. Neither says a word when there is
// nothing to do, and both speak on standard error only, so that a command's own output stays clean.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EXIT_INTERRUPTED, runChild } from './child.mjs'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const cacheDirectory = join(root, 'node_modules/.cache')

/** Pinned here, since a machine needs npm alone to run the scripts; the lockfile is this version's. */
const packageManager = 'pnpm@12.21.0'

const stampFile = join(root, 'node_modules/.walrus-installed')
const isWindows = process.platform === 'win32'

/** @param {string} file */
export const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

/** Folders with a package of ours in them, `bench` included. */
export function packageFolders() {
  const folders = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name))
  return [...folders, join(root, 'bench')].filter((folder) => existsSync(join(folder, 'package.json')))
}

/**
 * The JavaScript file behind a dependency's command. Started with process.execPath it runs on the Node that runs us, on
 * every platform, which a shim in node_modules/.bin does not promise.
 *
 * @param {string} packageName
 * @param {string} [commandName]
 */
export function commandFile(packageName, commandName = packageName) {
  const folder = join(root, 'node_modules', packageName)
  const { bin } = readJson(join(folder, 'package.json'))
  return join(folder, typeof bin === 'string' ? bin : bin[commandName])
}

/**
 * Runs a step to its end and returns its exit code. Where a signal has asked us to stop meanwhile, nothing follows it.
 *
 * @param {string} file
 * @param {string[]} commandArguments
 * @param {import('node:child_process').SpawnOptions} options
 */
async function runStep(file, commandArguments, options) {
  const { status, isStopped } = await runChild(file, commandArguments, options)
  // The step may have had the signal, and have ended of it, before we have had our own.
  if (isStopped || status === EXIT_INTERRUPTED) process.exit(EXIT_INTERRUPTED)
  return status
}

/**
 * Runs a dependency's command to its end and returns its exit code.
 *
 * @param {string} file
 * @param {string[]} commandArguments
 * @param {{ isQuiet?: boolean, env?: NodeJS.ProcessEnv }} [options] quiet: its standard output goes to standard error
 */
export function runNode(file, commandArguments, { isQuiet = false, env = process.env } = {}) {
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = isQuiet ? ['ignore', 2, 2] : 'inherit'
  return runStep(process.execPath, [file, ...commandArguments], { cwd: root, env, stdio })
}

function installStamp() {
  const hash = createHash('sha256')
  for (const name of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(root, name)))
  // Native parts are chosen by platform at install, so a tree that moved to another one is a new tree.
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`
}

export async function install() {
  const stamp = installStamp()
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  process.stderr.write(`Installing dependencies with ${packageManager}\n`)
  const status = await runStep(
    'npx',
    // The log level undoes .npmrc's: an install that fails has to say why.
    ['--yes', '--loglevel=error', packageManager, 'install', '--frozen-lockfile', '--reporter=append-only'],
    // CI keeps pnpm from asking questions, for example whether it may replace a node_modules folder made by npm.
    { cwd: root, env: { ...process.env, CI: 'true' }, stdio: ['ignore', 2, 2], shell: isWindows },
  )
  if (status !== 0) {
    process.stderr.write(`Installing dependencies failed (exit code ${status}); nothing was run\n`)
    process.exit(status)
  }
  writeFileSync(stampFile, stamp)
}

// Tests and workers load dist, so a file whose source was renamed or deleted would go on answering from there.
function removeStaleOutput() {
  for (const folder of packageFolders()) {
    const dist = join(folder, 'dist')
    if (!existsSync(dist)) continue
    for (const entry of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
      const source = entry.replace(/(\.d\.ts|\.js)(\.map)?$/, '')
      if (source !== entry && !existsSync(join(folder, 'src', `${source}.ts`))) rmSync(join(dist, entry))
    }
  }
}

export async function build() {
  removeStaleOutput()
  const status = await runNode(commandFile('typescript', 'tsc'), ['-b'], { isQuiet: true })
  if (status !== 0) {
    process.stderr.write('The build failed; nothing was run\n')
    process.exit(status)
  }
}

export async function prepare() {
  await install()
  mkdirSync(cacheDirectory, { recursive: true })
  await build()
}
