import { setTimeout as pause } from 'node:timers/promises'
import type { PublishedStats, PublishedWriter, TopicStats, Walrus } from '@walrus-log/actors'
import { isWalrusError } from '@walrus-log/core'

/** One look at a log, and what has happened since the look before. */
export interface Look {
  timeMs: number
  /** Since the look before; null in the first one, as are all rates. */
  seconds: number | null
  topics: WatchedTopic[]
  /** The process that writes; null where none does. */
  process: WatchedProcess | null
}

export interface WatchedTopic {
  topic: string
  records: number
  bytes: number
  /** Acknowledged in a second. */
  recordsPerSecond: number | null
  bytesPerSecond: number | null
  groups: WatchedGroup[]
}

export interface WatchedGroup {
  group: string
  lag: number
  /** By which its cursors moved on in a second. */
  recordsPerSecond: number | null
}

export interface WatchedProcess {
  pid: number
  writers: WatchedWriter[]
}

export interface WatchedWriter {
  writer: number
  partitions: number
  recordsPerSecond: number | null
  bytesPerSecond: number | null
  writesPerSecond: number | null
  syncsPerSecond: number | null
  /** Since the log was opened. */
  ackLatencyMs: { p50: number; p99: number; p999: number }
  lanes: number
  /** How full the lanes are, 0 to 1. */
  laneFill: number
}

interface Seen {
  atMs: number
  topics: TopicStats[]
  published: PublishedStats | undefined
}

/** Looks again and again, until the signal is aborted. */
export async function* watchLog(
  walrus: Walrus,
  options: { topic: string | undefined; intervalMs: number; signal: AbortSignal },
): AsyncGenerator<Look, void, undefined> {
  const { topic, intervalMs, signal } = options
  let before: Seen | undefined
  for (;;) {
    const seen = await lookAt(walrus, topic)
    yield compare(seen, before)
    before = seen
    try {
      await pause(intervalMs, undefined, { signal })
    } catch {
      return
    }
  }
}

async function lookAt(walrus: Walrus, only: string | undefined): Promise<Seen> {
  const names = only === undefined ? (await walrus.topics()).map(({ name }) => name) : [only]
  const topics: TopicStats[] = []
  for (const name of names) {
    try {
      topics.push(await (await walrus.topic(name)).stats())
    } catch (error) {
      // Deleted since it was listed.
      if (only !== undefined || !isWalrusError(error) || error.code !== 'UNKNOWN_TOPIC') throw error
    }
  }
  return { atMs: performance.now(), topics, published: await walrus.publishedStats() }
}

/** What was said between two looks, by what the process had said at either of them. */
export function compare(seen: Seen, before: Seen | undefined): Look {
  const seconds = before === undefined ? null : (seen.atMs - before.atMs) / 1000
  const rate = (now: number, then: number | undefined, over = seconds): number | null =>
    then === undefined || over === null || over <= 0 ? null : Math.max(now - then, 0) / over
  const topics = seen.topics.map(({ topic, records, bytes, partitions, groups }): WatchedTopic => {
    const then = before?.topics.find((other) => other.topic === topic)
    const groupsThen = then?.groups ?? []
    return {
      topic,
      records,
      bytes,
      recordsPerSecond: rate(endOf(partitions), then && endOf(then.partitions)),
      bytesPerSecond: rate(bytes, then?.bytes),
      groups: groups.map((group) => {
        const known = groupsThen.find((other) => other.group === group.group)
        return {
          group: group.group,
          lag: group.lag,
          recordsPerSecond: rate(cursorsOf(group), known && cursorsOf(known)),
        }
      }),
    }
  })
  const { published } = seen
  const then = before?.published?.pid === published?.pid ? before?.published : undefined
  const process = published && {
    pid: published.pid,
    writers: published.writers.map((writer): WatchedWriter => {
      const known = then?.writers.find((other) => other.writer === writer.writer)
      const perSecond = (value: (of: PublishedWriter) => number): number | null =>
        rate(value(writer), known && value(known))
      const { partitions, ackLatencyMs, lanes, laneBytes, laneBytesUsed } = writer
      return {
        writer: writer.writer,
        partitions,
        recordsPerSecond: perSecond(({ records }) => records),
        bytesPerSecond: perSecond(({ bytes }) => bytes),
        writesPerSecond: perSecond(({ writes }) => writes),
        syncsPerSecond: perSecond(({ syncs }) => syncs),
        ackLatencyMs,
        lanes,
        laneFill: laneBytes > 0 ? laneBytesUsed / laneBytes : 0,
      }
    }),
  }
  return { timeMs: Date.now(), seconds, topics, process: process ?? null }
}

const endOf = (partitions: TopicStats['partitions']): number => partitions.reduce((sum, { next }) => sum + next, 0)
const cursorsOf = ({ partitions }: TopicStats['groups'][number]): number =>
  partitions.reduce((sum, { cursor }) => sum + cursor, 0)
