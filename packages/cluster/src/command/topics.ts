import type { Command } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_OK } from './exit-code.js'
import { count, durabilityText } from './numbers.js'
import { withLog } from './open-log.js'
import { renderTable } from './table.js'

export function addTopics(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('topics')
    .description('list the topics of a log')
    .option('--json', 'one JSON object on standard output')
    .action((options: CommonOptions) => action(() => listTopics(options, context)))
}

async function listTopics(options: CommonOptions, { stdout }: CommandContext): Promise<number> {
  const topics = await withLog(
    options,
    async (walrus) => {
      const listed = []
      for (const { name, partitions, codec, durability } of await walrus.topics()) {
        const { records, bytes } = await (await walrus.topic(name)).stats()
        listed.push({ name, partitions, codec, durability, records, bytes })
      }
      return listed
    },
    { readOnly: true },
  )
  if (options.json) {
    stdout.line(JSON.stringify({ dir: options.dir, topics }))
  } else if (topics.length === 0) {
    stdout.line(`There are no topics in ${options.dir}`)
  } else {
    const head = ['topic', 'partitions', 'codec', 'durability', 'records', 'bytes']
    const rows = topics.map(({ name, partitions, codec, durability, records, bytes }) => {
      return [name, count(partitions), codec, durabilityText(durability), count(records), count(bytes)]
    })
    stdout.line(renderTable(head, rows, stdout.colours))
  }
  return EXIT_OK
}
