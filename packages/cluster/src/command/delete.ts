import type { Command } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_OK } from './exit-code.js'
import { existingTopic, withLog } from './open-log.js'

export function addDelete(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('delete')
    .description('remove a topic with all its records')
    .argument('<topic>')
    .option('--json', 'one JSON object on standard output')
    .action((topic: string, options: CommonOptions) => action(() => deleteTopic(topic, options, context)))
}

async function deleteTopic(name: string, options: CommonOptions, { stdout }: CommandContext): Promise<number> {
  const records = await withLog(options, async (walrus) => {
    const { records } = await (await existingTopic(walrus, name)).stats()
    await walrus.deleteTopic(name)
    return records
  })
  if (options.json) stdout.line(JSON.stringify({ dir: options.dir, topic: name, records }))
  else stdout.line(`Deleted topic ${name}`)
  return EXIT_OK
}
