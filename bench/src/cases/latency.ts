import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Topic, Walrus } from '@walrus-log/actors'
import { atMost, type Figure, figureOf, median } from '../figure.js'
import { checkContent, withFreshLog } from '../fresh-log.js'
import { type Settings, scaled } from '../settings.js'
import { inThread, openThread } from '../thread.js'
import { alternate, appender, type LatencyBlocks, type LatencySamples } from '../workers/latency.js'
import type { Case } from './case.js'

const RECORD_BYTES = 727
/** Few enough that the disk is the same for a block and the next, enough that a block's first is no matter. */
const BLOCK_APPENDS = 40
const BLOCKS = 20

async function runLatency(settings: Settings): Promise<Figure[]> {
  const sides = { worker: sideOf(), main: sideOf() }
  const blocks = scaled(settings, BLOCKS)
  for (let round = 0; round < settings.rounds; round++) {
    const directory = join(settings.directory, `latency-${round}`)
    const input = { recordBytes: RECORD_BYTES, blocks, blockAppends: BLOCK_APPENDS }
    const measure = async (walrus: Walrus): Promise<{ worker: LatencySamples; main: LatencySamples }> => {
      const fromWorker = { ...input, topic: 'worker', file: join(directory, 'bare-worker'), handle: walrus.handle() }
      const worker = await inThread(settings, 'latenciesAgainstBare', fromWorker)
      const fromMain = { ...input, topic: 'main', file: join(directory, 'bare-main') }
      const topic: Topic<Uint8Array> = await walrus.topic('main')
      const main = await latenciesOfMain(settings, fromMain, topic)
      const count = (blocks + 1) * BLOCK_APPENDS
      for (const name of ['worker', 'main']) await checkContent(settings, walrus, name, RECORD_BYTES, count)
      return { worker, main }
    }
    const { result } = await settings.patience.quietly(async () => {
      const samples = await withFreshLog(settings, directory, { durability: 'disk' }, measure)
      await rm(directory, { recursive: true, force: true })
      return samples
    })
    note(settings, round, 'worker', sides.worker, result.worker)
    note(settings, round, 'main thread', sides.main, result.main)
  }
  const figure = (name: string, { values, baselines }: Side, target: number): Figure =>
    figureOf({
      name,
      unit: 'ms',
      against: 'pwrite + fdatasync in a worker',
      values,
      baselines,
      target: atMost(target),
      note: 'medians of single durable appends',
    })
  return [figure('latency/worker', sides.worker, 1.2), figure('latency/main-thread', sides.main, 1.35)]
}

interface Side {
  values: number[]
  baselines: number[]
}

const sideOf = (): Side => ({ values: [], baselines: [] })

function note(settings: Settings, round: number, name: string, side: Side, { walrus, bare }: LatencySamples): void {
  side.values.push(median(walrus))
  side.baselines.push(median(bare))
  const ratio = median(walrus) / median(bare)
  settings.progress(
    `latency round ${round + 1}/${settings.rounds}: ${name} ${median(walrus).toFixed(3)} ms, ${ratio.toFixed(2)} of bare`,
  )
}

/** The log's side from this thread; the bare side from a worker, where such loops belong. */
async function latenciesOfMain(
  settings: Settings,
  input: LatencyBlocks,
  topic: Topic<Uint8Array>,
): Promise<LatencySamples> {
  const { recordBytes, blockAppends, file } = input
  const producer = topic.producer()
  const thread = openThread(settings, 'bare appends')
  try {
    const bareBlock = (): Promise<number[]> =>
      thread.call('bareAppendLatencies', { file, recordBytes, count: blockAppends })
    return await alternate(input, appender(producer, input), bareBlock)
  } finally {
    await thread.end()
    await producer.close()
  }
}

export const latency: Case = {
  name: 'latency',
  about: 'a single durable append that waits for its acknowledgement, against pwrite + fdatasync on a growing file',
  run: runLatency,
}
