import {
  type DirectoryLock,
  type Finding,
  isWalrusError,
  lockDirectory,
  NodeFileSystem,
  type RepairMode,
  type TopicReport,
  verifyLog,
} from '@walrus-log/core'
import { type Command, Option } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_FAILED, EXIT_OK } from './exit-code.js'
import { existingLogDirectory } from './log-directory.js'
import { count } from './numbers.js'

interface VerifyCommandOptions extends CommonOptions {
  repair?: RepairMode
}

export function addVerify(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('verify')
    .description('read every byte of a log, and say what is damaged; exit code 1 if anything is')
    .argument('[topics...]', 'these topics; all of them if left out')
    .addOption(
      new Option(
        '--repair <how>',
        'cut: the log ends at the first damage; skip: all that is whole is kept, readers are shown gaps. What is changed is kept beside, as <file>.damaged-<time>',
      ).choices(['cut', 'skip']),
    )
    .option('--json', 'one JSON object on standard output')
    .action((topics: string[], options: VerifyCommandOptions) => action(async () => verify(topics, options, context)))
}

function verify(topics: string[], options: VerifyCommandOptions, { stdout }: CommandContext): number {
  const { dir, repair, json } = options
  const directory = existingLogDirectory(options)
  const lock = maybeLock(directory, repair !== undefined)
  try {
    const fs = new NodeFileSystem()
    const reports: TopicReport[] = []
    const chosen = topics.length > 0 ? topics : undefined
    const beside = lock === undefined
    for (const report of verifyLog({ fs, directory, topics: chosen, beside, repair, nowMs: Date.now() })) {
      reports.push(report)
      if (!json) for (const line of reportLines(report)) stdout.line(line)
    }
    const findings = reports.flatMap(findingsOf)
    if (json) stdout.line(JSON.stringify(summaryOf(dir, reports)))
    else if (reports.length === 0) stdout.line(`There are no topics in ${dir}`)
    // Damage was there, also where it has been repaired by now.
    return findings.length > 0 ? EXIT_FAILED : EXIT_OK
  } finally {
    lock?.release()
  }
}

/** Nobody begins to write meanwhile. Undefined where somebody writes already, beside whom one can look, but not mend. */
function maybeLock(directory: string, isNeeded: boolean): DirectoryLock | undefined {
  try {
    return lockDirectory(directory)
  } catch (error) {
    if (isNeeded || !isWalrusError(error) || error.code !== 'LOCKED') throw error
    return undefined
  }
}

function findingsOf({ findings, partitions }: TopicReport): Finding[] {
  return [...findings, ...partitions.flatMap((partition) => partition.findings)]
}

interface Totals {
  partitions: number
  segments: number
  batches: number
  records: number
  bytes: number
}

function totalsOf(reports: readonly TopicReport[]): Totals {
  const totals: Totals = { partitions: 0, segments: 0, batches: 0, records: 0, bytes: 0 }
  for (const { segments, batches, records, bytes } of reports.flatMap(({ partitions }) => partitions)) {
    totals.partitions++
    totals.segments += segments
    totals.batches += batches
    totals.records += records
    totals.bytes += bytes
  }
  return totals
}

function summaryOf(dir: string, reports: readonly TopicReport[]): object {
  return {
    dir,
    topics: reports.length,
    ...totalsOf(reports),
    damage: reports.flatMap(findingsOf),
    gaps: reports.flatMap(({ partitions }) => {
      return partitions.flatMap(({ topic, partition, gaps }) => gaps.map((gap) => ({ topic, partition, ...gap })))
    }),
    kept: reports.flatMap(({ kept }) => kept),
    remaining: reports.flatMap(({ remaining }) => remaining),
  }
}

function reportLines(report: TopicReport): string[] {
  const { topic, partitions, kept, remaining } = report
  const { segments, batches, records, bytes } = totalsOf([report])
  const lines = findingsOf(report).map(findingLine)
  for (const { partition, gaps } of partitions) {
    for (const { from, to } of gaps)
      lines.push(`gap     ${topic}/${partition}: offsets ${from} to ${to - 1} were given up`)
  }
  for (const file of kept) lines.push(`kept    ${file}`)
  for (const finding of remaining) lines.push(`remains ${finding.file}: ${finding.what}; ${finding.advice}`)
  const verdict = findingsOf(report).length === 0 ? 'sound ' : 'DAMAGE'
  const extent = `${count(records)} records in ${count(batches)} batches, ${count(segments)} segments, ${count(bytes)} bytes`
  return [...lines, `${verdict}  ${topic}: ${extent}`]
}

function findingLine({ file, position, positionTo, what, advice }: Finding): string {
  const place = positionTo === undefined ? `byte ${position}` : `bytes ${position} to ${positionTo}`
  return `damage  ${file}, ${place}: ${what}; ${advice}`
}
