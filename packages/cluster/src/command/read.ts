import type { Codec, ConsumerOptions, Topic } from '@walrus-log/actors'
import { type Command, Option } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext, CommonOptions } from './context.js'
import { EXIT_INTERRUPTED, EXIT_OK } from './exit-code.js'
import { existingTopic, withLog } from './open-log.js'
import { parseCheckpoint, parseCount, parseFrom, type ReadFrom } from './option-values.js'
import { gapAsJson, gapAsLine, recordAsJson, recordAsLine, valueAsText } from './record-text.js'

interface ReadOptions extends CommonOptions {
  from: ReadFrom
  partition?: number
  limit?: number
  follow?: boolean
  values?: boolean
  group?: string
  checkpoint: ConsumerOptions['checkpoint']
}

export function addRead(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('read')
    .description('print the records of a topic')
    .argument('<topic>')
    .addOption(
      new Option('--from <place>', 'start, end, an offset, or a date such as 2026-01-31T12:00:00Z')
        .argParser(parseFrom)
        .default('start'),
    )
    .addOption(
      new Option('--partition <number>', 'one partition; all of them if left out')
        .argParser(parseCount)
        .conflicts('group'),
    )
    .option('--limit <number>', 'end after so many records', parseCount)
    .option('--follow', 'wait for what is appended later, until Ctrl-C')
    .option('--group <name>', 'go on where this consumer group has got to; --from is for a group that is new')
    .addOption(
      new Option('--checkpoint <when>', "make the group's place durable with each record, or every so many")
        .argParser(parseCheckpoint)
        .default('each'),
    )
    .addOption(new Option('--json', 'one JSON object a line').conflicts('values'))
    .option('--values', 'the values alone, one a line')
    .action((topic: string, options: ReadOptions) => action(() => readTopic(topic, options, context)))
}

function readTopic(name: string, options: ReadOptions, context: CommandContext): Promise<number> {
  const signal = context.interruptible()
  return withLog(
    options,
    async (walrus) => {
      try {
        const topic = await existingTopic(walrus, name)
        if (options.group === undefined) await printRecords(topic, options, signal, context)
        else await consumeRecords(topic, options.group, options, signal, context)
      } catch (error) {
        if (!signal.aborted) throw error
      }
      return signal.aborted ? EXIT_INTERRUPTED : EXIT_OK
    },
    { readOnly: options.group === undefined },
  )
}

type Print = Parameters<typeof recordAsLine>[0]

function printerOf({ json, values }: ReadOptions, codec: Codec, columns: number): (record: Print) => string {
  if (json) return (record) => recordAsJson(record, codec)
  if (values) return (record) => valueAsText(record, codec)
  return (record) => recordAsLine(record, codec, columns)
}

async function printRecords(
  topic: Topic,
  options: ReadOptions,
  signal: AbortSignal,
  { stdout, stderr }: CommandContext,
): Promise<void> {
  const { from, partition, follow, limit = Number.POSITIVE_INFINITY } = options
  const print = printerOf(options, topic.config.codec, stdout.columns ?? 120)
  let left = limit
  if (left === 0) return
  for await (const batch of topic.read({ from, partition, follow, signal })) {
    if (batch.gap !== undefined) {
      // Values alone have no word for what is missing among them.
      if (options.values) stderr.line(gapAsLine(batch))
      else await stdout.write(`${options.json ? gapAsJson(batch) : gapAsLine(batch)}\n`)
      continue
    }
    const lines: string[] = []
    for (const record of batch) {
      if (left-- <= 0) break
      lines.push(print(record))
    }
    await stdout.write(`${lines.join('\n')}\n`)
    if (left <= 0 || stdout.isClosed) return
  }
}

/** The same for a consumer group: what is printed is handled. */
async function consumeRecords(
  topic: Topic,
  group: string,
  options: ReadOptions,
  signal: AbortSignal,
  { stdout }: CommandContext,
): Promise<void> {
  const { from, follow = false, checkpoint, limit = Number.POSITIVE_INFINITY } = options
  const print = printerOf(options, topic.config.codec, stdout.columns ?? 120)
  let left = limit
  if (left === 0) return
  const consumer = topic.consumer(group, { from, follow, checkpoint, signal })
  try {
    for await (const record of consumer) {
      await stdout.write(`${print(record)}\n`)
      if (--left <= 0 || stdout.isClosed) break
    }
    // Whoever reads has gone away, perhaps without this one.
    if (stdout.isClosed) await consumer.putBack()
  } finally {
    await consumer.close()
  }
}
