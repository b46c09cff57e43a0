import { availableParallelism } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Durability, WalrusHandle } from '@walrus-log/actors'
import { atMost, type Figure, figureOf, median } from '../figure.js'
import { checkContent, withFreshLog } from '../fresh-log.js'
import { type Member, runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { openThread, type TaskThread } from '../thread.js'
import { type Produce, produce } from '../workers/produce.js'
import type { Case } from './case.js'

const RECORD_BYTES = 727
/** Finest that the histogram has: a timer that is to fire every millisecond, and how late it is. */
const RESOLUTION_MS = 1
const WINDOW_MS = 2_000
const WARM_UP_RECORDS = 300_000
/** Batches of the producer that is never busy at the same time as its writer: some 64 KiB each. */
const BATCH_RECORDS = 90

const IDLE = 'idle loop'
const OS = "main thread ingests, 'os'"
const DISK = "main thread ingests, 'disk'"
const FEW = 'workers produce, fewer threads busy than cores'
const FULL = 'a worker produces at full speed'
const SPIN_FEW = 'threads compute, fewer than cores'
const SPIN_FULL = 'two threads compute'

/** The main thread's p99 of event-loop delay while `use` is under way, in milliseconds. */
async function p99During(use: () => Promise<unknown>): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  await use()
  histogram.disable()
  return histogram.percentile(99) / 1e6
}

const records = (topic: string, count: number, wait: Produce['wait']): Produce => ({
  topic,
  recordBytes: RECORD_BYTES,
  count,
  wait,
})

function mainMember(settings: Settings, name: string, durability: Durability, count: number): Member {
  return {
    name,
    warmBytes: RECORD_BYTES * count,
    run: (directory) =>
      withFreshLog(settings, directory, { durability }, async (walrus) => {
        await produce(walrus, records('warm-up', WARM_UP_RECORDS, 'await'))
        const p99 = await p99During(() => produce(walrus, records('measured', count, 'await')))
        await checkContent(settings, walrus, 'measured', RECORD_BYTES, count)
        return p99
      }),
  }
}

/** A worker produces. It has been started, and has produced before: the main thread's part in that is not measured. */
function workerMember(
  settings: Settings,
  name: string,
  warmBytes: number,
  use: (thread: TaskThread, handle: WalrusHandle) => Promise<unknown>,
): Member {
  return {
    name,
    warmBytes,
    run: (directory) =>
      withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
        const handle = walrus.handle()
        const warmUp = records('warm-up', WARM_UP_RECORDS, 'block')
        const thread = openThread(settings, 'produce')
        try {
          await thread.call('produceInThread', { handle, warmUp, ...warmUp })
          return await p99During(() => use(thread, handle))
        } finally {
          await thread.end()
        }
      }),
  }
}

function fullMember(settings: Settings, name: string, count: number): Member {
  const warmUp = records('warm-up', 1, 'block')
  return workerMember(settings, name, RECORD_BYTES * count, (thread, handle) =>
    thread.call('produceInThread', { handle, warmUp, ...records('measured', count, 'block') }),
  )
}

/** A producer that awaits each batch, so that it and the writer are one busy thread between them. */
function lockstepMember(settings: Settings, name: string, seconds: number): Member {
  return workerMember(settings, name, 0, (thread, handle) =>
    thread.call('produceInLockstep', {
      handle,
      topic: 'measured',
      recordBytes: RECORD_BYTES,
      batchRecords: BATCH_RECORDS,
      seconds,
    }),
  )
}

/** Threads that do nothing but compute, without a log: what the system's scheduler alone does to the main thread. */
function spinMember(settings: Settings, name: string, threads: number, milliseconds: number): Member {
  return {
    name,
    warmBytes: 0,
    run: async () => {
      const spinning = Array.from({ length: threads }, () => openThread(settings, 'bare spin'))
      try {
        await Promise.all(spinning.map((thread) => thread.call('spin', { milliseconds: 1 })))
        return await p99During(() => Promise.all(spinning.map((thread) => thread.call('spin', { milliseconds }))))
      } finally {
        for (const thread of spinning) await thread.end()
      }
    },
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
    cores > 2 ? fullMember(settings, FEW, count) : lockstepMember(settings, FEW, windowMs / 1000),
    fullMember(settings, FULL, count),
    spinMember(settings, SPIN_FEW, Math.min(cores - 1, 2), windowMs),
    spinMember(settings, SPIN_FULL, 2, windowMs),
  ])
  const idle = samples[IDLE]
  // Below that, a difference is one of the idle loop with itself. One idle window that was disturbed does not widen it.
  const idleSpreadMs = 3 * median(idle.map((p99) => Math.abs(p99 - median(idle))))
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
      : 'a producer that awaits every 64 KiB: it and its writer are busy in turn'
  return [
    figure('event-loop/ingest-os', OS, 2, 'the main thread sends as fast as it can'),
    figure('event-loop/ingest-disk', DISK, 3, 'the main thread sends as fast as it can'),
    figure(
      'event-loop/workers-few',
      FEW,
      Math.max(idleSpreadMs, RESOLUTION_MS / 10),
      `${busy}; target: how far idle loops differ, three times their median distance`,
    ),
    figure('event-loop/workers-full', FULL, undefined, 'a producer and its writer at full speed, whatever the cores'),
    figure('event-loop/compute-few', SPIN_FEW, undefined, 'the same number of busy threads, without a log'),
    figure('event-loop/compute-full', SPIN_FULL, undefined, 'the same number of busy threads, without a log'),
  ]
}

export const eventLoop: Case = {
  name: 'event-loop',
  about: 'event-loop delay of the main thread, p99 above an idle loop: while it ingests, and while workers produce',
  run: runEventLoop,
}
