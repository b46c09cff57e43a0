import type { Durability } from '@walrus-log/actors'
import { PARTITIONS_MAX } from '@walrus-log/core'
import { type Command, Option } from 'commander'
import { FORMATS, type Format } from '../ingest/format.js'
import { PRODUCERS_MAX } from '../ingest/limits.js'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK } from './exit-code.js'
import { outcomeLines, planLines, summaryTables } from './ingest-text.js'
import { countFrom, parseDelimiter, parseDurability } from './option-values.js'
import { ingestShown, ProgressReporter } from './progress-reporter.js'

interface IngestCommandOptions extends CommonOptions {
  topic?: string
  format?: Format
  delimiter?: string
  partitions?: number
  producers?: number
  durability?: Durability
  compression?: 'none' | 'lz4' | 'zstd'
  key?: string
  strict?: boolean
  resume?: boolean
  verify: boolean
}

const EXAMPLES = `
Examples:
  walrus ingest                                the flights data that a clone of the repository installs
  walrus ingest trips.ndjson --key origin      one JSON value a line; trips of one origin stay in order
  walrus ingest --resume trips.ndjson          what a run that was killed has left of it
  zcat access.log.gz | walrus ingest - --format lines --topic access
`

export function addIngest(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('ingest')
    .description('read records from files or standard input into a topic, and check that they are there')
    .argument('[file...]', 'files to read, - for standard input; the flights data if left out')
    .option('--topic <name>', "topic to append to (default: the first file's name)")
    .addOption(new Option('--format <format>', 'what the files hold (default: guessed from the name)').choices(FORMATS))
    .option(
      '--delimiter <character>',
      'what separates the fields of CSV (default: a comma; a tab for .tsv)',
      parseDelimiter,
    )
    .option(
      '--partitions <number>',
      'of a new topic (default: one for each core, at least 2)',
      countFrom(1, PARTITIONS_MAX),
    )
    .option(
      '--producers <number>',
      'threads that parse and send (default: by the number of cores)',
      countFrom(1, PRODUCERS_MAX),
    )
    .option(
      '--durability <when>',
      'when a record counts as written: disk, os, none, or milliseconds between syncs (default: disk)',
      parseDurability,
    )
    .addOption(
      new Option('--compression <codec>', 'how sealed segments are kept (default: none)').choices([
        'none',
        'lz4',
        'zstd',
      ]),
    )
    .option('--key <field>', 'field that is the key: records of one key go to one partition, in order')
    .option('--strict', 'stop at the first record that cannot be taken')
    .option('--resume', 'go on where an earlier run over the same files has ended, or was killed')
    .option('--no-verify', 'do not read everything back')
    .option('--json', 'one JSON object on standard output at the end, and nothing else there')
    .addHelpText('after', EXAMPLES)
    .action((files: string[], options: IngestCommandOptions) => action(() => runIngest(files, options, context)))
}

async function runIngest(files: string[], options: IngestCommandOptions, context: CommandContext): Promise<number> {
  const { stdout, stderr } = context
  const { json, verbose: _verbose, ...settings } = options
  const signal = context.interruptible()
  // Loaded here, so that the other subcommands start without it.
  const { ingest } = await import('../ingest/ingest.js')
  const reporter = new ProgressReporter(stderr)
  try {
    const summary = await ingest(
      { files, ...settings },
      {
        signal,
        onPlan: (plan) => {
          for (const line of planLines(plan)) reporter.line(line)
        },
        onProgress: (progress) => reporter.update(ingestShown(progress)),
        onReject: ({ file, line, reason }) => reporter.line(stderr.colours.yellow(`${file}:${line}: ${reason}`)),
      },
    )
    reporter.end()
    if (json) await stdout.write(`${JSON.stringify(summary)}\n`)
    // A table of zeros would tell an interrupted person nothing.
    else if (!summary.interrupted || summary.records > 0) {
      await stdout.write(`${summaryTables(summary, stdout.colours)}\n`)
    }
    for (const line of outcomeLines(summary, settings.verify, stderr.colours)) stderr.line(line)
    if (summary.interrupted) return EXIT_INTERRUPTED
    return summary.rejected > 0 || (settings.verify && !summary.verified) ? EXIT_FAILED : EXIT_OK
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error
    stderr.line('interrupted before anything was read; nothing was written')
    return EXIT_INTERRUPTED
  } finally {
    reporter.end()
  }
}
