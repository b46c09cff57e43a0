import { WalrusError } from '@walrus-log/core'
import { type Command, Option } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_OK } from './exit-code.js'
import { count } from './numbers.js'
import { existingTopic, withLog } from './open-log.js'
import { parseBefore, parseCount, type TrimBefore } from './option-values.js'
import { renderTable } from './table.js'

interface TrimOptions extends CommonOptions {
  before: TrimBefore
  partition?: number
}

export function addTrim(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('trim')
    .description('forget the oldest records of a topic')
    .argument('<topic>')
    .addOption(
      new Option('--before <place>', 'an offset, a date such as 2026-01-31T12:00:00Z, or end')
        .argParser(parseBefore)
        .makeOptionMandatory(),
    )
    .option('--partition <number>', 'one partition; all of them if left out', parseCount)
    .option('--json', 'one JSON object on standard output')
    .action((topic: string, options: TrimOptions) => action(() => trimTopic(topic, options, context)))
}

async function trimTopic(name: string, options: TrimOptions, { stdout }: CommandContext): Promise<number> {
  const { before, partition } = options
  const partitions = await withLog(options, async (walrus) => {
    const topic = await existingTopic(walrus, name)
    const { partitions } = topic.config
    if (typeof before === 'number' && partition === undefined && partitions > 1) {
      throw new WalrusError(
        'INVALID_ARGUMENT',
        `topic ${name} has ${partitions} partitions with offsets of their own; say which one is to be trimmed before ${before}: --partition 0 to ${partitions - 1}`,
        { field: 'partition' },
      )
    }
    return topic.trim({ before, partition })
  })
  if (options.json) {
    stdout.line(JSON.stringify({ dir: options.dir, topic: name, partitions }))
  } else {
    const rows = partitions.map(({ partition, first, next }) => [count(partition), count(first), count(next)])
    stdout.line(renderTable(['partition', 'first offset', 'next offset'], rows, stdout.colours))
  }
  return EXIT_OK
}
