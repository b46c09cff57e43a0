import { type Command, Option } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_INTERRUPTED, EXIT_OK } from './exit-code.js'
import { count } from './numbers.js'
import { existingTopic, withLog } from './open-log.js'
import { parseCount, parseSeconds } from './option-values.js'
import { renderTable } from './table.js'
import type { Look } from './watch.js'
import { lookLines, lookTables } from './watch-text.js'

interface StatsOptions extends CommonOptions {
  watch?: boolean
  every: number
  limit?: number
}

export function addStats(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('stats')
    .description('show the offsets, sizes and segments of partitions, and how far consumer groups are')
    .argument('[topic]', 'one topic; all of them if left out')
    .option('--json', 'one JSON object on standard output; with --watch one a line')
    .option('--watch', 'look again and again, until Ctrl-C: rates, lags, and what the writer threads do')
    .addOption(new Option('--every <seconds>', 'with --watch: between two looks').argParser(parseSeconds).default(1))
    .addOption(new Option('--limit <number>', 'with --watch: end after so many looks').argParser(parseCount))
    .action((topic: string | undefined, options: StatsOptions) =>
      action(() => (options.watch ? watchStats(topic, options, context) : showStats(topic, options, context))),
    )
}

/** On a terminal each look takes the place of the one before. */
async function watchStats(
  topic: string | undefined,
  options: StatsOptions,
  { stdout, interruptible }: CommandContext,
): Promise<number> {
  const { json, every, limit = Number.POSITIVE_INFINITY } = options
  const signal = interruptible()
  let lines = 0
  const show = (look: Look): string => {
    if (json) return JSON.stringify(look)
    if (!stdout.isTerminal) return lookLines(look).join('\n')
    const tables = lookTables(look, stdout.colours)
    const shown = lines > 0 ? `\x1b[${lines}A\x1b[J${tables}` : tables
    lines = tables.split('\n').length
    return shown
  }
  const { watchLog } = await import('./watch.js')
  return withLog(
    options,
    async (walrus) => {
      if (topic !== undefined) await existingTopic(walrus, topic)
      let looks = 0
      for await (const look of watchLog(walrus, { topic, intervalMs: every * 1000, signal })) {
        await stdout.write(`${show(look)}\n`)
        if (++looks >= limit || stdout.isClosed) return EXIT_OK
      }
      return EXIT_INTERRUPTED
    },
    { readOnly: true },
  )
}

async function showStats(name: string | undefined, options: StatsOptions, { stdout }: CommandContext): Promise<number> {
  const topics = await withLog(
    options,
    async (walrus) => {
      const names = name === undefined ? (await walrus.topics()).map((topic) => topic.name) : [name]
      const stats = []
      for (const each of names) stats.push(await (await existingTopic(walrus, each)).stats())
      return stats
    },
    { readOnly: true },
  )
  if (options.json) {
    stdout.line(JSON.stringify({ dir: options.dir, topics }))
    return EXIT_OK
  }
  const head = ['topic', 'partition', 'first offset', 'next offset', 'records', 'bytes', 'stored', 'segments']
  const rows = topics.flatMap(({ topic, partitions }) => {
    return partitions.map(({ partition, first, next, records, bytes, storedBytes, segments }) => {
      const numbers = [partition, first, next, records, bytes, storedBytes, segments]
      return [topic, ...numbers.map(count)]
    })
  })
  stdout.line(rows.length > 0 ? renderTable(head, rows, stdout.colours) : `There are no topics in ${options.dir}`)
  const groups = topics.flatMap((topic) => {
    return topic.groups.flatMap(({ group, partitions }) => {
      return partitions.map(({ partition, cursor, lag }) => {
        return [topic.topic, group, count(partition), count(cursor), count(lag)]
      })
    })
  })
  if (groups.length === 0) return EXIT_OK
  stdout.line(renderTable(['topic', 'group', 'partition', 'cursor', 'lag'], groups, stdout.colours))
  return EXIT_OK
}
