import type { Command } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_OK } from './exit-code.js'
import { count } from './numbers.js'
import { existingTopic, withLog } from './open-log.js'
import { renderTable } from './table.js'

export function addStats(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('stats')
    .description('show the offsets, sizes and segments of partitions, and how far consumer groups are')
    .argument('[topic]', 'one topic; all of them if left out')
    .option('--json', 'one JSON object on standard output')
    .action((topic: string | undefined, options: CommonOptions) => action(() => showStats(topic, options, context)))
}

async function showStats(
  name: string | undefined,
  options: CommonOptions,
  { stdout }: CommandContext,
): Promise<number> {
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
  const head = ['topic', 'partition', 'first offset', 'next offset', 'records', 'bytes', 'segments']
  const rows = topics.flatMap(({ topic, partitions }) => {
    return partitions.map(({ partition, first, next, records, bytes, segments }) => {
      return [topic, count(partition), count(first), count(next), count(records), count(bytes), count(segments)]
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
