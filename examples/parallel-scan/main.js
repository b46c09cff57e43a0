// A function of the user's own over a whole topic, on several threads.
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Walrus } from '@walrus-log/actors'

const FLIGHTS = 200_000
const ORIGINS = ['ATL', 'DEN', 'ORD', 'SEA']

const directory = process.argv[2] ?? join(tmpdir(), `walrus-parallel-scan-${process.pid}`)
const walrus = await Walrus.open(directory, { durability: 'os' })
try {
  const flights = await walrus.topic('flights', { partitions: 4, codec: 'msgpack' })
  const producer = flights.producer()
  for (let n = 0; n < FLIGHTS; n++) {
    const flight = { origin: ORIGINS[n % ORIGINS.length], delayMinutes: n % 100 }
    while (!producer.send(flight)) await producer.ready()
  }
  await producer.flush()

  /** @type {Record<string, number> | undefined} */
  const late = await walrus.scan('flights', new URL('./by-origin.js', import.meta.url), {
    args: { delayMinutesMin: 15 },
    reduce: (/** @type {Record<string, number>} */ total, /** @type {Record<string, number>} */ part) => {
      for (const [origin, count] of Object.entries(part)) total[origin] = (total[origin] ?? 0) + count
      return total
    },
  })
  for (const origin of ORIGINS) console.log(`${origin}: ${late?.[origin]} flights were late`)
} finally {
  await walrus.close()
  if (process.argv[2] === undefined) await rm(directory, { recursive: true, force: true })
}
