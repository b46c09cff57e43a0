import { BYTES_PER_MB } from '../ingest/summary.js'
import { count, decimal } from './numbers.js'
import type { Colours } from './output.js'
import { renderTable } from './table.js'
import type { Look } from './watch.js'

// What `walrus stats --watch` tells people: tables on a terminal, lines elsewhere.

const rate = (perSecond: number | null): string => (perSecond === null ? '-' : decimal(perSecond))
const megabytes = (perSecond: number | null): string => (perSecond === null ? '-' : decimal(perSecond / BYTES_PER_MB))
const percent = (fraction: number): string => `${Math.round(fraction * 100)} %`

export function lookTables({ topics, process }: Look, colours: Colours): string {
  const parts = [
    renderTable(
      ['topic', 'records', 'bytes', 'records/s', 'MB/s'],
      topics.map(({ topic, records, bytes, recordsPerSecond, bytesPerSecond }) => {
        return [topic, count(records), count(bytes), rate(recordsPerSecond), megabytes(bytesPerSecond)]
      }),
      colours,
    ),
  ]
  const groups = topics.flatMap(({ topic, groups }) => {
    return groups.map(({ group, lag, recordsPerSecond }) => [topic, group, count(lag), rate(recordsPerSecond)])
  })
  if (groups.length > 0) parts.push(renderTable(['topic', 'group', 'lag', 'records/s'], groups, colours))
  if (process === null) return [...parts, 'no process writes'].join('\n')
  const head = [
    'writer',
    'partitions',
    'records/s',
    'MB/s',
    'writes/s',
    'syncs/s',
    'ack p50 / p99 ms',
    'lanes',
    'lane fill',
  ]
  const writers = process.writers.map((writer) => [
    count(writer.writer),
    count(writer.partitions),
    rate(writer.recordsPerSecond),
    megabytes(writer.bytesPerSecond),
    rate(writer.writesPerSecond),
    rate(writer.syncsPerSecond),
    `${decimal(writer.ackLatencyMs.p50)} / ${decimal(writer.ackLatencyMs.p99)}`,
    count(writer.lanes),
    percent(writer.laneFill),
  ])
  return [...parts, `process ${process.pid}`, renderTable(head, writers, colours)].join('\n')
}

export function lookLines({ timeMs, topics, process }: Look): string[] {
  const time = new Date(timeMs).toISOString()
  const lines: string[] = []
  for (const { topic, records, recordsPerSecond, bytesPerSecond, groups } of topics) {
    lines.push(
      `topic ${topic}: ${count(records)} records, ${rate(recordsPerSecond)} records/s, ${megabytes(bytesPerSecond)} MB/s`,
    )
    for (const { group, lag, recordsPerSecond } of groups) {
      lines.push(`group ${group} of ${topic}: lag ${count(lag)}, ${rate(recordsPerSecond)} records/s`)
    }
  }
  for (const writer of process?.writers ?? []) {
    const { recordsPerSecond, bytesPerSecond, syncsPerSecond, ackLatencyMs, lanes, laneFill } = writer
    lines.push(
      `writer ${writer.writer} of process ${process!.pid}: ${rate(recordsPerSecond)} records/s, ${megabytes(bytesPerSecond)} MB/s, ${rate(syncsPerSecond)} syncs/s, ack p99 ${decimal(ackLatencyMs.p99)} ms, ${count(lanes)} lanes ${percent(laneFill)} full`,
    )
  }
  if (process === null) lines.push('no process writes')
  return lines.map((line) => `${time}  ${line}`)
}
