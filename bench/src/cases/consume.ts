import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Topic } from '@walrus-log/actors'
import { atMost, type Figure, figureOf, median } from '../figure.js'
import { withFreshLog } from '../fresh-log.js'
import { type Settings, scaled } from '../settings.js'
import { inThread, openThread } from '../thread.js'
import { fillTopic, taker } from '../workers/consume.js'
import { alternate, type LatencyBlocks, type LatencySamples } from '../workers/latency.js'
import type { Case } from './case.js'

const RECORD_BYTES = 100
/** What a cursor takes in the log: its batch's header, its record's, and the cursor. */
const CURSOR_BYTES = 176
/** As in the case `latency`. */
const BLOCK_RECORDS = 40
const BLOCKS = 20

async function runConsume(settings: Settings): Promise<Figure[]> {
  const samples: Record<'worker' | 'main', LatencySamples[]> = { worker: [], main: [] }
  const blocks = scaled(settings, BLOCKS)
  for (let round = 0; round < settings.rounds; round++) {
    const directory = join(settings.directory, `consume-${round}`)
    const { result } = await settings.patience.quietly(async () => {
      const measured = await withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
        const topic: Topic<Uint8Array> = await walrus.topic('t')
        await fillTopic(topic, RECORD_BYTES, (blocks + 2) * BLOCK_RECORDS)
        const input = { topic: 't', recordBytes: CURSOR_BYTES, blocks, blockAppends: BLOCK_RECORDS }
        const fromWorker = { ...input, file: join(directory, 'bare-worker'), handle: walrus.handle() }
        const worker = await inThread(settings, 'consumeLatenciesAgainstBare', fromWorker)
        return { worker, main: await ofMain(settings, { ...input, file: join(directory, 'bare-main') }, topic) }
      })
      await rm(directory, { recursive: true, force: true })
      return measured
    })
    for (const side of ['worker', 'main'] as const) {
      samples[side].push(result[side])
      const { walrus, bare } = result[side]
      settings.progress(
        `consume round ${round + 1}/${settings.rounds}: ${side} ${median(walrus).toFixed(3)} ms, ${(median(walrus) / median(bare)).toFixed(2)} of bare`,
      )
    }
  }
  const figure = (name: string, of: LatencySamples[], target: number): Figure =>
    figureOf({
      name,
      unit: 'ms',
      against: 'pwrite + fdatasync of a cursor in a worker',
      values: of.map(({ walrus }) => median(walrus)),
      baselines: of.map(({ bare }) => median(bare)),
      target: atMost(target),
      note: "medians of single records with checkpoint 'each'",
    })
  return [figure('consume/each-worker', samples.worker, 1.2), figure('consume/each-main-thread', samples.main, 1.35)]
}

/** The consumer in this thread; the bare side in a worker, where such loops belong. */
async function ofMain(settings: Settings, input: LatencyBlocks, topic: Topic<Uint8Array>): Promise<LatencySamples> {
  const { recordBytes, blockAppends, file } = input
  const consumer = topic.consumer('main', { checkpoint: 'each' })
  const thread = openThread(settings, 'bare cursors')
  try {
    const bareBlock = (): Promise<number[]> =>
      thread.call('bareAppendLatencies', { file, recordBytes, count: blockAppends })
    return await alternate(input, taker(consumer[Symbol.asyncIterator](), blockAppends), bareBlock)
  } finally {
    await thread.end()
    await consumer.close()
  }
}

export const consume: Case = {
  name: 'consume',
  about: "a record of a consumer with checkpoint 'each', against pwrite + fdatasync of a cursor on a growing file",
  run: runConsume,
}
