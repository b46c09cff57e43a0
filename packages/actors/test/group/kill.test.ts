import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { type ConsumerOptions, Walrus } from '#actors/index.js'
import { randomOf, startProcess, temporaryDirectory } from '../log/fixture.js'

const KILLS = 5
const PARTITIONS = 3
const RECORDS = 3000

test.each<[ConsumerOptions['checkpoint'], number]>([
  ['each', 1],
  [{ every: 40 }, 40],
])(
  'kill -9 at any moment, with checkpoint %j: nothing is missed, and no more comes again than is promised',
  async (checkpoint, repeatsMax) => {
    const random = randomOf(`kill ${JSON.stringify(checkpoint)}`)
    const directory = temporaryDirectory()
    const walrus = await Walrus.open(directory)
    const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: PARTITIONS })
    const producers = Array.from({ length: PARTITIONS }, (_none, partition) => topic.producer({ partition }))
    for (let value = 0; value < RECORDS; value++) {
      while (!producers[value % PARTITIONS].send(String(value))) await producers[value % PARTITIONS].ready()
    }
    await walrus.close()
    const counts = new Map<number, number>()
    for (let run = 0; run < KILLS; run++) {
      const file = path.join(directory, `handed-${run}`)
      const child = startProcess('consume', { directory, group: 'g', checkpoint, file })
      const killAfter = 1 + Math.floor(random() * 200)
      let heard = 0
      child.on('message', () => {
        if (++heard === killAfter) child.kill('SIGKILL')
      })
      await once(child, 'close')
      expect(child.signalCode).toBe('SIGKILL')
      takeRun(counts, handedOut(file), repeatsMax)
    }
    // Nothing was skipped: in each partition, what was handed out is all there is up to the last of it.
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const own = [...counts.keys()].filter((value) => value % PARTITIONS === partition).sort((a, b) => a - b)
      expect(own).toEqual(own.map((_value, index) => index * PARTITIONS + partition))
    }
    expect(counts.size).toBeGreaterThan(KILLS)
  },
)

/** What each consumer of a run was handed, in order. */
function handedOut(file: string): number[][] {
  const lines = fs.readFileSync(file, 'utf8').trimEnd().split('\n')
  return ['0', '1'].map((name) =>
    lines
      .map((line) => line.split(' '))
      .filter(([by]) => by === name)
      .map(([, value]) => Number(value)),
  )
}

/**
 * Counts a run's records. In `counts`, what may come again is marked by a negative count: what a consumer was handed last
 * before it was killed, until it is handed out again. All else that comes again is one too many.
 */
function takeRun(counts: Map<number, number>, handed: number[][], repeatsMax: number): void {
  for (const value of handed.flat()) {
    expect(counts.get(value) ?? -1, `record ${value} comes again`).toBeLessThan(0)
    counts.set(value, 1)
  }
  for (const values of handed) for (const value of values.slice(-repeatsMax)) counts.set(value, -1)
}
