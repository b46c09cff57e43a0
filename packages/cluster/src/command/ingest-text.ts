import type { IngestPlan } from '../ingest/progress.js'
import type { IngestSummary, WriterSummary } from '../ingest/summary.js'
import { count, counted, decimal, durabilityText, seconds } from './numbers.js'
import type { Colours } from './output.js'
import { renderTable } from './table.js'

// What `walrus ingest` tells people.

const INPUTS_NAMED_MAX = 5

export function planLines(plan: IngestPlan): string[] {
  const { topic, dir, partitions, durability, producers, inputs, appendedTo } = plan
  const named = inputs.slice(0, INPUTS_NAMED_MAX).map(({ name, format }) => `${name} (${format})`)
  if (inputs.length > named.length) named.push(`${inputs.length - named.length} more`)
  const into = `topic ${topic} in ${dir}: ${counted(partitions, 'partition')}, durability ${durabilityText(durability)}`
  const lines = [`${named.join(', ')} -> ${into}, ${counted(producers, 'producer')}`]
  if (plan.resumed !== undefined) {
    lines.push(`resuming: ${counted(plan.resumed, 'record')} of it are in the topic already, from an earlier run`)
  } else if (appendedTo > 0) lines.push(`topic ${topic} holds ${counted(appendedTo, 'record')} already; appending`)
  return lines
}

export function summaryTables(summary: IngestSummary, colours: Colours): string {
  if (summary.records === 0) return nothingText(summary)
  const { p50, p99, p999 } = summary.ackLatencyMs
  const totals = [
    ['records', count(summary.records)],
    ...(summary.resumed > 0 ? [['from an earlier run', count(summary.resumed)]] : []),
    ['bytes', count(summary.bytes)],
    ['seconds', summary.seconds.toFixed(3)],
    ['records/s', count(summary.recordsPerSecond)],
    ['MB/s', decimal(summary.mbPerSecond)],
    ['syncs', count(summary.syncs)],
    ['records per sync', perSyncText(summary.recordsPerSync)],
    ['ack latency p50 / p99 / p99.9', `${[p50, p99, p999].map(decimal).join(' / ')} ms`],
  ]
  const head = [
    'writer',
    'partitions',
    'records',
    'file bytes',
    'writes',
    'syncs',
    'records per sync',
    'ack p50 / p99 / p99.9 ms',
  ]
  const writers = summary.writers.map((writer) => writerRow(writer, summary.topic))
  const parts = [renderTable([`topic ${summary.topic}`, 'this run'], totals, colours)]
  if (writers.length > 0) parts.push(renderTable(head, writers, colours))
  return parts.join('\n')
}

/** In place of tables of zeros. */
function nothingText({ topic, files, resumed }: IngestSummary): string {
  const from = files.length > 1 ? `${count(files.length)} files` : files[0]
  if (resumed > 0) return `topic ${topic}: nothing new; ${counted(resumed, 'record')} of ${from} are there already`
  return `topic ${topic}: no records from ${from}`
}

function writerRow(writer: WriterSummary, topic: string): string[] {
  const { p50, p99, p999 } = writer.ackLatencyMs
  const prefix = `${topic}/`
  const partitions = writer.partitions
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
  return [
    count(writer.writer),
    partitions.length > 8 ? `${partitions.slice(0, 7).join(' ')} …` : partitions.join(' '),
    count(writer.records),
    count(writer.bytes),
    count(writer.writes),
    count(writer.syncs),
    perSyncText(writer.syncs > 0 ? writer.records / writer.syncs : null),
    [p50, p99, p999].map(decimal).join(' / '),
  ]
}

function perSyncText(recordsPerSync: number | null): string {
  return recordsPerSync === null ? '-' : decimal(recordsPerSync)
}

/** How the run ended, the bad news last. */
export function outcomeLines(summary: IngestSummary, isVerifyAsked: boolean, colours: Colours): string[] {
  const lines: string[] = []
  const { records, resumed, rejected, rejects, verified, verifySeconds, verifyProblems } = summary
  if (verified && records + resumed === 0) {
    lines.push('no record was taken, so there is nothing to verify')
  } else if (verified) {
    const checked = 'count, order within each partition and checksum of the content are those of the source'
    lines.push(
      colours.green(
        `verified: ${counted(records + resumed, 'record')} read back in ${seconds(verifySeconds ?? 0)}; ${checked}`,
      ),
    )
  }
  for (const problem of verifyProblems) lines.push(colours.red(`NOT VERIFIED: ${problem}`))
  if (!verified && verifyProblems.length === 0) {
    lines.push(isVerifyAsked ? 'not verified: interrupted before everything was read back' : 'not verified, as asked')
  }
  if (rejected > 0) {
    const shown = rejected > rejects.length ? `; the first ${rejects.length} are listed above` : ''
    lines.push(colours.yellow(`${counted(rejected, 'record')} rejected${shown}`))
  }
  if (summary.interrupted) lines.push(colours.yellow(interruptedText(summary)))
  return lines
}

function interruptedText({ records, position }: IngestSummary): string {
  const read = position
    ? `${counted(position.line, 'line')} (${counted(position.byte, 'byte')}) of ${position.file} read`
    : 'nothing read'
  return `interrupted: ${counted(records, 'record')} acknowledged; ${read}`
}
