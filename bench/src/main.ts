import { HELP, parseArguments, UsageError } from './arguments.js'
import { CASES } from './cases/cases.js'
import { fileSystemName, makeRunDirectory, removeTree } from './disk.js'
import type { Figure } from './figure.js'
import { formatDisturbance, Patience, watchDisturbance } from './machine.js'
import { Profiler } from './profiler.js'
import { formatList, formatProfile, formatTable } from './report.js'
import type { Settings } from './settings.js'

async function main(): Promise<void> {
  const names = CASES.map(({ name }) => name)
  const chosen = parseArguments(process.argv.slice(2), names)
  if (chosen.help) return print(HELP.trimEnd())
  if (chosen.list) return print(formatList(CASES))
  const directory = makeRunDirectory(chosen.dir)
  process.on('exit', () => removeTree(directory))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
  const { rounds, scale } = chosen
  const profiler = chosen.profile === undefined ? undefined : new Profiler()
  const progress = (line: string): void => void process.stderr.write(`${line}\n`)
  const settings: Settings = {
    directory,
    rounds,
    scale,
    profiler,
    progress,
    patience: new Patience(chosen.patience, progress),
  }
  settings.progress(
    `files in ${directory} (${fileSystemName(directory)}), node ${process.version}, ${rounds} rounds, scale ${scale}`,
  )
  const disturbance = watchDisturbance()
  await profiler?.start()
  const figures: Figure[] = []
  for (const { name, run } of CASES) {
    if (chosen.only.length === 0 || chosen.only.includes(name)) figures.push(...(await run(settings)))
  }
  await profiler?.end()
  settings.progress(`of all cores' time meanwhile: ${formatDisturbance(disturbance())}`)
  if (chosen.json) return print(JSON.stringify({ figures }))
  print(formatTable(figures))
  for (const profile of profiler?.profiles ?? [])
    if (!profile.thread.includes('bare')) print(`\n${formatProfile(profile)}`)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

try {
  await main()
} catch (error) {
  process.stderr.write(error instanceof UsageError ? `${error.message}\n` : `${(error as Error).stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
