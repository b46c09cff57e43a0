import type { BackupReport } from '@walrus-log/actors'
import type { Command } from 'commander'
import { BYTES_PER_MB } from '../ingest/summary.js'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_INTERRUPTED, EXIT_OK } from './exit-code.js'
import { count, counted, decimal } from './numbers.js'
import { withLog } from './open-log.js'
import { ProgressReporter } from './progress-reporter.js'

interface BackupCommandOptions extends CommonOptions {
  verify: boolean
}

export function addBackup(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('backup')
    .description(
      'copy a log, whether or not a process writes to it, into another directory; the next time only what is new',
    )
    .argument('<target>', 'directory of the backup, which is a log like any other')
    .option('--no-verify', 'do not read what was copied once more')
    .option('--json', 'one JSON object on standard output')
    .action((target: string, options: BackupCommandOptions) => action(() => runBackup(target, options, context)))
}

async function runBackup(target: string, options: BackupCommandOptions, context: CommandContext): Promise<number> {
  const { stdout, stderr } = context
  const signal = context.interruptible()
  const reporter = new ProgressReporter(stderr)
  const beganMs = performance.now()
  try {
    const report = await withLog(
      options,
      (walrus) => {
        return walrus.backup(target, {
          verify: options.verify,
          signal,
          onProgress: ({ bytes, bytesTotal }) => {
            const seconds = (performance.now() - beganMs) / 1000
            const fraction = bytesTotal > 0 ? Math.min(bytes / bytesTotal, 1) : 1
            const mb = bytes / BYTES_PER_MB
            const text = () =>
              `backup: ${Math.floor(fraction * 100)} %, ${decimal(mb)} MB, ${decimal(mb / seconds)} MB/s`
            reporter.update({ phase: 'backup', fraction, text })
          },
        })
      },
      { readOnly: true },
    )
    reporter.end()
    const seconds = (performance.now() - beganMs) / 1000
    if (options.json) stdout.line(JSON.stringify({ dir: options.dir, target, ...report, seconds }))
    else stdout.line(reportText(target, report))
    return EXIT_OK
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error
    reporter.end()
    stderr.line('interrupted; what was copied is whole, and the next backup goes on from there')
    return EXIT_INTERRUPTED
  } finally {
    reporter.end()
  }
}

function reportText(target: string, { topics, partitions, records, copied, kept, bytes }: BackupReport): string {
  const what = `${counted(topics, 'topic')}, ${counted(partitions, 'partition')}, ${counted(records, 'record')}`
  return `${what} in ${target}: ${counted(copied, 'segment')} copied (${count(bytes)} bytes), ${count(kept)} there already`
}
