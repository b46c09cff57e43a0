import { availableParallelism } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Durability } from '@walrus-log/actors'
import { atMost, type Figure, figureOf, median } from '../figure.js'
import { checkContent, withFreshLog } from '../fresh-log.js'
import { type Member, runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import { type Produce, produce } from '../workers/produce.js'
import type { Case } from './case.js'

const RECORD_BYTES = 727
/** Finest that the histogram has: a timer that is to fire every millisecond, and how late it is. */
const RESOLUTION_MS = 1
const WINDOW_MS = 2_000
const WARM_UP_RECORDS = 50_000
/** Batches of the producer that is never busy at the same time as its writer: some 64 KiB each. */
const BATCH_RECORDS = 90

const IDLE = 'idle loop'
const OS = "main thread ingests, 'os'"
const DISK = "main thread ingests, 'disk'"
const FEW = 'workers produce, fewer threads busy than cores'
const FULL = 'a worker produces at full speed'

/** The main thread's p99 of event-loop delay while `use` is under way, in milliseconds. */
async function p99During(use: () => Promise<unknown>): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  await use()
  histogram.disable()
  return histogram.percentile(99) / 1e6
}

function mainMember(settings: Settings, name: string, durability: Durability, count: number): Member {
  const measured: Produce = { topic: 'measured', recordBytes: RECORD_BYTES, count, wait: 'await' }
  return {
    name,
    warmBytes: RECORD_BYTES * count,
    run: (directory) =>
      withFreshLog(settings, directory, { durability }, async (walrus) => {
        await produce(walrus, { ...measured, topic: 'warm-up', count: Math.min(count, WARM_UP_RECORDS) })
        const p99 = await p99During(() => produce(walrus, measured))
        await checkContent(settings, walrus, 'measured', RECORD_BYTES, count)
        return p99
      }),
  }
}

/** A producer that awaits each batch, so that it and the writer are one busy thread between them. */
function fewMember(settings: Settings, name: string, seconds: number): Member {
  return {
    name,
    warmBytes: 0,
    run: (directory) =>
      withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
        const input = {
          handle: walrus.handle(),
          topic: 'measured',
          recordBytes: RECORD_BYTES,
          batchRecords: BATCH_RECORDS,
          seconds,
        }
        return p99During(() => inThread(settings, 'produceInLockstep', input))
      }),
  }
}

function fullMember(settings: Settings, name: string, count: number): Member {
  const measured: Produce = { topic: 'measured', recordBytes: RECORD_BYTES, count, wait: 'block' }
  const warmUp: Produce = { ...measured, topic: 'warm-up', count: Math.min(count, WARM_UP_RECORDS) }
  return {
    name,
    warmBytes: RECORD_BYTES * count,
    run: (directory) =>
      withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
        const p99 = await p99During(() =>
          inThread(settings, 'produceInThread', { handle: walrus.handle(), warmUp, ...measured }),
        )
        await checkContent(settings, walrus, 'measured', RECORD_BYTES, count)
        return p99
      }),
  }
}

async function runEventLoop(settings: Settings): Promise<Figure[]> {
  const windowMs = scaled(settings, WINDOW_MS)
  const cores = availableParallelism()
  const count = scaled(settings, 1_500_000)
  const samples = await runRounds(settings, 'event-loop', [
    { name: IDLE, warmBytes: 0, run: () => p99During(() => sleep(windowMs)) },
    mainMember(settings, OS, 'os', count),
    mainMember(settings, DISK, 'disk', count),
    // With three cores or more, a producer and its writer at full speed leave one to the main thread.
    cores > 2 ? fullMember(settings, FEW, count) : fewMember(settings, FEW, windowMs / 1000),
    fullMember(settings, FULL, count),
  ])
  const idle = samples[IDLE]
  // Below that, a difference is one of the idle loop with itself.
  const idleSpread = Math.max(...idle) - Math.min(...idle)
  const figure = (name: string, member: string, mostMs: number | undefined, note: string): Figure => ({
    ...figureOf({
      name,
      unit: 'ms',
      against: null,
      values: samples[member].map((p99, round) => p99 - idle[round]),
      target: mostMs === undefined ? undefined : atMost(mostMs),
      note: `p99 of event-loop delay above that of an idle loop of the same round (perf_hooks, resolution ${RESOLUTION_MS} ms); ${note}`,
    }),
    baseline: median(idle),
    against: IDLE,
    ratio: median(samples[member].map((p99, round) => p99 / idle[round])),
  })
  const busy =
    cores > 2
      ? 'a producer and its writer at full speed'
      : 'a producer that awaits each batch: it and its writer are busy in turn'
  return [
    figure('event-loop/ingest-os', OS, 2, 'the main thread sends as fast as it can'),
    figure('event-loop/ingest-disk', DISK, 3, 'the main thread sends as fast as it can'),
    figure(
      'event-loop/workers-few',
      FEW,
      Math.max(idleSpread, RESOLUTION_MS / 10),
      `${busy}; target: the spread of the idle loop`,
    ),
    figure('event-loop/workers-full', FULL, undefined, 'a producer and its writer at full speed, whatever the cores'),
  ]
}

export const eventLoop: Case = {
  name: 'event-loop',
  about: 'event-loop delay of the main thread, p99 above an idle loop: while it ingests, and while workers produce',
  run: runEventLoop,
}
