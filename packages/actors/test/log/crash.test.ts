import { once } from 'node:events'
import { expect, test } from 'vitest'
import { openLog, randomOf, readAll, startProcess, temporaryDirectory } from './fixture.js'

const KILLS = Number(process.env['WALRUS_KILLS'] ?? 18)

/** What an ingesting process says: these records of this producer are acknowledged, at these places. */
interface Acknowledged {
  topic: string
  run: number
  producer: number
  partition: number
  offset: number
  index: number
}

test('kill -9 at any moment, again and again: every acknowledged record is there, in order and once', {
  timeout: 0,
}, async () => {
  const random = randomOf('kill')
  const directory = temporaryDirectory()
  const acknowledged: Acknowledged[] = []
  for (let run = 0; run < KILLS; run++) {
    const child = startProcess('ingest', { directory, run })
    const killAfter = 1 + Math.floor(random() ** 2 * 400)
    let heard = 0
    child.on('message', (message) => {
      acknowledged.push(...(message as Acknowledged[]))
      heard += (message as Acknowledged[]).length
      if (heard >= killAfter) child.kill('SIGKILL')
    })
    await once(child, 'close')
    expect(child.signalCode).toBe('SIGKILL')
    await expectAllThere(directory, acknowledged)
  }
})

/** Records are `run producer index`; a producer's records of a topic and partition have rising indexes. */
async function expectAllThere(directory: string, acknowledged: Acknowledged[]): Promise<void> {
  const walrus = await openLog(directory, { recovery: 'strict' })
  for (const name of ['os', 'disk']) {
    // A child that was killed early may not have come to make the topic.
    const records = await readAll(await walrus.topic<string>(name, { codec: 'utf8', partitions: 2 }))
    const placeOf = new Map(
      records.map(({ partition, offset, value }) => [`${partition}/${offset}`, value.split(' ', 3).join(' ')]),
    )
    for (const { topic, partition, offset, run, producer, index } of acknowledged) {
      if (topic === name)
        expect([partition, offset, placeOf.get(`${partition}/${offset}`)]).toEqual([
          partition,
          offset,
          `${run} ${producer} ${index}`,
        ])
    }
    const next = new Map<string, number>()
    const last = new Map<string, number>()
    const lastRun = new Map<number, number>()
    for (const { partition, offset, value } of records) {
      expect([partition, offset]).toEqual([partition, next.get(String(partition)) ?? 0])
      next.set(String(partition), offset + 1)
      const [run, producer, index] = value.split(' ').map(Number)
      const lane = `${partition} ${run} ${producer}`
      expect(index).toBeGreaterThan(last.get(lane) ?? -1)
      last.set(lane, index)
      expect(run).toBeGreaterThanOrEqual(lastRun.get(partition) ?? 0)
      lastRun.set(partition, run)
    }
  }
  await walrus.close()
}
