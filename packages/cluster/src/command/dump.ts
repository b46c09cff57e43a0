import { statSync } from 'node:fs'
import path from 'node:path'
import {
  type DumpItem,
  dumpGaps,
  dumpIndex,
  dumpSegment,
  isLockHeld,
  NodeFileSystem,
  parseBaseOffset,
  viewTopic,
  WalrusError,
} from '@walrus-log/core'
import type { Command } from 'commander'
import type { CommandAction } from './action.js'
import type { CommandContext } from './context.js'
import { itemAsJson, itemAsLine } from './dump-text.js'
import { EXIT_FAILED, EXIT_OK } from './exit-code.js'
import { parseCount } from './option-values.js'

interface DumpOptions {
  limit?: number
  json?: boolean
  batches?: boolean
}

export function addDump(program: Command, context: CommandContext, action: CommandAction): Command {
  return program
    .command('dump')
    .description('show what is in a segment (.log), an index or a gaps file, damaged or not; exit code 1 if it is')
    .argument('<file>')
    .option('--limit <number>', 'end after so many records', parseCount)
    .option('--batches', 'batches without their records')
    .option('--json', 'one JSON object a line')
    .action((file: string, options: DumpOptions) => action(() => dump(file, options, context)))
}

async function dump(file: string, options: DumpOptions, { stdout }: CommandContext): Promise<number> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new WalrusError('INVALID_ARGUMENT', `there is no file ${file}`, { field: 'file' })
  }
  const show = options.json ? itemAsJson : (item: DumpItem) => itemAsLine(item, stdout.columns ?? 120)
  let isDamaged = false
  const end = acknowledgedEnd(file)
  let left = options.limit ?? Number.POSITIVE_INFINITY
  for (const item of itemsOf(file)) {
    // What its writer is just writing is no damage.
    if (item.type === 'damage' && item.position >= end) continue
    if (item.type === 'damage' && !item.isGivenUp) isDamaged = true
    if (item.type === 'record' && options.batches) continue
    if ((item.type === 'record' || item.type === 'batch') && left <= 0) break
    if (item.type === 'record') left--
    await stdout.write(`${show(item)}\n`)
    if (stdout.isClosed) break
  }
  return isDamaged ? EXIT_FAILED : EXIT_OK
}

/** Byte of the file behind which nothing is acknowledged, while another process writes it. */
function acknowledgedEnd(file: string): number {
  const [partition, topic, directory] = [1, 2, 3].map((up) => path.resolve(file, ...Array(up).fill('..')))
  const everything = Number.POSITIVE_INFINITY
  try {
    if (!isLockHeld(directory)) return everything
    const { partitions } = viewTopic(new NodeFileSystem(), directory, path.basename(topic), true)
    const readable = partitions[Number(path.basename(partition))]?.readable
    return readable?.baseOffset === parseBaseOffset(path.basename(file), '.log') ? readable!.position : everything
  } catch {
    // It lies elsewhere than in a log.
    return everything
  }
}

/** By the file's name, whatever a repair has put behind it. */
function itemsOf(file: string): Iterable<DumpItem> {
  const fs = new NodeFileSystem()
  const name = path.basename(file)
  if (/\.index(\.|$)/.test(name)) return dumpIndex(fs, file)
  if (/\.gaps(\.|$)/.test(name)) return dumpGaps(fs, file)
  return dumpSegment(fs, file)
}
