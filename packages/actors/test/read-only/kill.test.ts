import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { Walrus } from '#actors/index.js'
import { openLog, randomOf, readAll, startProcess, temporaryDirectory } from '../log/fixture.js'

const KILLS = 5
const TOPICS = ['os', 'disk']

interface Acknowledged {
  topic: string
  partition: number
  offset: number
}

/** The values of a topic, by partition and offset. */
type Values = string[][]

test('a follower through kill -9 at any moment sees every acknowledged record once and in order, and none that is taken back', async () => {
  const random = randomOf('read-only kill')
  const directory = temporaryDirectory()
  const seen: Record<string, Values> = { os: [[], []], disk: [[], []] }
  const acknowledged: Acknowledged[] = []
  const abort = new AbortController()
  // There is a log, but nothing in it.
  await (await openLog(directory)).close()
  const reader = await Walrus.open(directory, { readOnly: true })
  onTestFinished(() => reader.close())
  let wake = (): void => {}
  const follow = async (name: string): Promise<void> => {
    const topic = await reader.topic<string>(name)
    for await (const batch of topic.read({ follow: true, signal: abort.signal })) {
      for (const { partition, offset, value } of batch) {
        // In order, without a gap, and nothing twice.
        expect(offset).toBe(seen[name][partition].length)
        seen[name][partition].push(value)
      }
      wake()
    }
  }
  let following: Promise<void>[] | undefined
  for (let run = 0; run < KILLS; run++) {
    const child = startProcess('ingest', { directory, run })
    const killAfter = 50 + Math.floor(random() * 300)
    let heard = 0
    child.on('message', (message) => {
      acknowledged.push(...(message as Acknowledged[]))
      heard += (message as Acknowledged[]).length
      // Each topic is there once it has a record that is acknowledged.
      if (TOPICS.every((name) => acknowledged.some(({ topic }) => topic === name))) following ??= TOPICS.map(follow)
      for (const one of following ?? []) one.catch(() => wake())
      if (heard >= killAfter && following !== undefined) child.kill('SIGKILL')
    })
    await once(child, 'close')
  }
  const failed = Promise.race(following!)
  failed.catch(() => {})
  const isMissing = ({ topic, partition, offset }: Acknowledged): boolean => seen[topic][partition].length <= offset
  while (acknowledged.some(isMissing)) {
    await Promise.race([failed, new Promise<void>((resolve) => (wake = resolve))])
  }
  abort.abort(new Error('enough'))
  for (const one of following!) await expect(one).rejects.toThrow('enough')
  const walrus = await openLog(directory, { recovery: 'strict' })
  for (const name of TOPICS) {
    const there: Values = [[], []]
    for (const { partition, value } of await readAll(await walrus.topic<string>(name))) there[partition].push(value)
    for (const [partition, values] of seen[name].entries()) {
      expect(there[partition].slice(0, values.length)).toEqual(values)
    }
  }
})
