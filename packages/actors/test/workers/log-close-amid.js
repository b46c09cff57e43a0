import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Walrus, WalrusError } from '#actors/index.js'
import { say } from './say.js'
import { seededNumbers } from './seeded.js'

// Closes a log amid everything that can be under way, at a moment that the seed decides. Says what was acknowledged and
// what every call that did not end well was told; then the process has to end by itself.

/** @typedef {import('#actors/index.js').Topic<string>} Topic */

const { handle, seed, name } = isMainThread ? { ...JSON.parse(process.argv[2]), name: 'main' } : workerData
const numbers = seededNumbers(seed)
const random = () => numbers(2 ** 32) / 2 ** 32
const pause = () => new Promise((resolve) => setTimeout(resolve, random() * 5))
/** @type {[string, number, number][]} */
const acknowledged = []
/** @type {string[]} */
const told = []
let isOver = false
let pending = 0

/** @param {string} what @param {() => Promise<unknown>} job */
async function run(what, job) {
  pending++
  try {
    await job()
  } catch (error) {
    told.push(error instanceof WalrusError ? error.code : `${what}: ${/** @type {Error} */ (error)?.stack ?? error}`)
  } finally {
    pending--
  }
}

/** @param {Walrus} walrus */
function begin(walrus) {
  const jobs = []
  let count = 0
  const of = async (/** @type {string} */ topic) =>
    /** @type {Topic} */ (await walrus.topic(topic, { codec: 'utf8', partitions: 2, segmentBytes: 8192 }))
  for (const producerId of [undefined, `${name}-n`]) {
    jobs.push(
      run('produce', async () => {
        const topic = await of('kept')
        const producer = topic.producer({ producerId, partition: producerId ? 1 : undefined })
        for (;;) {
          const value = `${name} ${count++} ${'x'.repeat(random() * 2000)}`
          const kind = random()
          if (kind < 0.6)
            void run('append', async () => {
              const { partition, offset } = await producer.append(value)
              acknowledged.push([value.slice(0, 12), partition, offset])
            })
          else if (kind < 0.7)
            void run('batch', async () => {
              const acks = await producer.appendBatch([value, value, 'y'.repeat(300_000)])
              acknowledged.push([value.slice(0, 12), acks[1].partition, acks[1].offset])
            })
          else while (!producer.send(value)) await producer.ready()
          while (random() < 0.2 || pending > 50) await pause()
        }
      }),
    )
  }
  jobs.push(
    run('follow', async () => {
      for await (const batch of (await of('kept')).read({ follow: true })) for (const _record of batch);
    }),
  )
  for (const checkpoint of /** @type {const} */ (['each', 'manual'])) {
    jobs.push(
      run('consume', async () => {
        const consumer = (await of('kept')).consumer('g', { checkpoint })
        for await (const _record of consumer)
          if (random() < 0.05)
            await (checkpoint === 'manual'
              ? consumer.commit().catch((error) => {
                  if (error.code !== 'CONSUMER_FENCED') throw error
                })
              : pause())
      }),
    )
  }
  jobs.push(
    run('come and go', async () => {
      for (;;) {
        const topic = await of('kept')
        const consumer = topic.consumer('h')
        await consumer.read(3)
        await consumer.close()
        const producer = topic.producer()
        producer.send(name)
        await producer.close()
        for await (const _batch of topic.read()) if (random() < 0.3) break
        await topic.stats()
        await pause()
      }
    }),
  )
  jobs.push(
    run('make and delete', async () => {
      for (;;) {
        await run('made', async () => {
          const topic = await of('made')
          await topic.producer().append('x')
          await topic.consumer('g').read()
          await topic.trim({ before: 'end' })
        })
        if (isOver || told.includes('CLOSED')) return
        await run('delete', () => walrus.deleteTopic('made'))
        await pause()
      }
    }),
  )
  return jobs
}

const threads = /** @type {Worker[]} */ ([])
const walrus = handle
  ? await Walrus.attach(handle)
  : await Walrus.open(JSON.parse(process.argv[2]).directory, { durability: random() < 0.5 ? 'os' : 'disk' })
parentPort?.postMessage('attached')
const jobs = begin(walrus)
if (isMainThread) {
  for (const thread of ['a', 'b'])
    threads.push(
      new Worker(new URL(import.meta.url), {
        workerData: { handle: walrus.handle(), seed: seed + thread.charCodeAt(0), name: thread },
      }),
    )
  const ends = threads.map(
    (thread) =>
      new Promise((resolve, reject) => {
        thread.on('message', (message) => message !== 'attached' && resolve(message))
        thread.on('error', reject)
      }),
  )
  await Promise.all(threads.map((thread) => once(thread, 'message')))
  await new Promise((resolve) => setTimeout(resolve, random() * 1500))
  isOver = true
  const closes = [run('close', () => walrus.close())]
  if (random() < 0.5) closes.push(run('close', () => walrus.close()))
  await Promise.all(closes)
  await Promise.all(jobs)
  while (pending > 0) await new Promise((resolve) => setImmediate(resolve))
  const others = /** @type {any[]} */ (await Promise.all(ends))
  await say({
    acknowledged: [...acknowledged, ...others.flatMap((other) => other.acknowledged)],
    told: [...told, ...others.flatMap((other) => other.told)],
    resources: process.getActiveResourcesInfo(),
  })
  process.disconnect()
} else {
  // The log closes under this thread, or just before it would have closed it.
  if (random() < 0.3) {
    await new Promise((resolve) => setTimeout(resolve, random() * 1500))
    isOver = true
    await run('close', () => walrus.close())
  }
  await Promise.all(jobs)
  isOver = true
  while (pending > 0) await new Promise((resolve) => setImmediate(resolve))
  if (random() < 0.5) await run('close', () => walrus.close())
  parentPort?.postMessage({ acknowledged, told })
}
