// Several threads of one process append to one topic at once, while a reader follows it.
import { rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Walrus } from '@walrus-log/actors'

const RECORDS_PER_THREAD = 100_000
const threads = Math.max(2, availableParallelism())
const total = threads * RECORDS_PER_THREAD

const directory = process.argv[2] ?? join(tmpdir(), `walrus-parallel-ingest-${process.pid}`)
const walrus = await Walrus.open(directory, { durability: 'disk' })
try {
  /** @type {import('@walrus-log/actors').Topic<{ sensor: number, number: number, celsius: number }>} */
  const readings = await walrus.topic('readings', { partitions: threads, codec: 'msgpack' })

  /** How far each sensor has been read: a partition gives its records in the order they were sent. */
  /** @type {Map<number, number>} */
  const next = new Map()
  const follow = async () => {
    let seen = 0
    for await (const batch of readings.read({ from: 'end', follow: true })) {
      for (const { value } of batch) {
        if (value.number !== (next.get(value.sensor) ?? 0)) throw new Error(`sensor ${value.sensor} is out of order`)
        next.set(value.sensor, value.number + 1)
        if (++seen === total) return seen
      }
    }
    return seen
  }
  const following = follow()

  const startMs = performance.now()
  const sending = Array.from({ length: threads }, (_, sensor) => {
    const workerData = { handle: walrus.handle(), sensor, records: RECORDS_PER_THREAD }
    const worker = new Worker(new URL('./sensor.js', import.meta.url), { workerData })
    return new Promise((resolve, reject) => worker.once('error', reject).once('exit', resolve))
  })
  await Promise.all(sending)
  const seconds = (performance.now() - startMs) / 1000

  const { writers, syncs } = walrus.stats()
  console.log(
    `${total.toLocaleString('en')} records from ${threads} threads, all on the disk after ${seconds.toFixed(2)} s`,
  )
  for (const { writer, partitions, records } of writers) {
    console.log(`  writer thread ${writer} wrote ${records.toLocaleString('en')} records to ${partitions.join(', ')}`)
  }
  console.log(`  one fdatasync for every ${Math.round(total / syncs).toLocaleString('en')} records`)
  console.log(`the follower saw ${(await following).toLocaleString('en')} records, each sensor's in order`)
} finally {
  await walrus.close()
  if (process.argv[2] === undefined) await rm(directory, { recursive: true, force: true })
}
