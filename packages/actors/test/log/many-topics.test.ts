import { expect, test } from 'vitest'
import { openFilesBelow, openLog, readValues, temporaryDirectory } from './fixture.js'

test('many topics are open, written, read and closed on few descriptors, which nobody notices', async () => {
  const directory = temporaryDirectory()
  const topics = 40
  const openFilesMax = 8
  for (const round of [0, 1]) {
    const walrus = await openLog(directory, { openFilesMax })
    for (let index = 0; index < topics; index++) {
      const topic = await walrus.topic<string>(`t${index}`, { codec: 'utf8', segmentEntries: 2 })
      await using producer = topic.producer()
      await producer.append(`${round}`)
    }
    // Beside the segments, the lock is open, and for a moment a directory or what a pool's thread looks at.
    const isSegment = (file: string) => file.endsWith('.log')
    expect((openFilesBelow(directory) ?? []).filter(isSegment).length).toBeLessThanOrEqual(openFilesMax)
    for (const index of [0, 1, topics - 1]) {
      const topic = await walrus.topic<string>(`t${index}`)
      await using producer = topic.producer()
      await producer.append('again', { durability: 'disk' })
      const values = await readValues(topic)
      expect(values).toEqual(round === 0 ? ['0', 'again'] : ['0', 'again', '1', 'again'])
    }
    expect(await walrus.topics()).toHaveLength(topics)
    await walrus.close()
    expect(openFilesBelow(directory) ?? []).toEqual([])
  }
})

test('topics that are opened at once are each there once, with what was sent to them, and so are names of producers', async () => {
  const directory = temporaryDirectory()
  const names = Array.from({ length: 60 }, (_, index) => `t${index % 30}`)
  for (const round of [0, 1]) {
    const walrus = await openLog(directory, { openFilesMax: 8 })
    const topics = await Promise.all(names.map((name) => walrus.topic<string>(name, { codec: 'utf8', partitions: 2 })))
    await Promise.all(
      topics.map(async (topic, index) => {
        await using producer = topic.producer({ producerId: `p${index}`, partition: 0 })
        await producer.ready()
        await producer.append(`${round}/${index}`)
      }),
    )
    const all = await Promise.all(topics.slice(0, 30).map((topic) => readValues(topic)))
    all.forEach((values, index) => {
      const sent = [0, 1].slice(0, round + 1).flatMap((of) => [`${of}/${index}`, `${of}/${index + 30}`])
      expect([...values].sort()).toEqual(sent.sort())
    })
    expect(await walrus.topics()).toHaveLength(30)
    await walrus.close()
  }
})

test('a synced topic costs no sync while nothing is sent to it', async () => {
  const walrus = await openLog(temporaryDirectory(), { writerThreadsMax: 2 })
  const busy = await walrus.topic<string>('busy', { codec: 'utf8', durability: { everyMs: 1 } })
  const idle = await walrus.topic<string>('idle', { codec: 'utf8', durability: { everyMs: 1 } })
  await using producer = busy.producer()
  await using other = idle.producer()
  await other.append('once')
  // Each time that the busy one has been synced, the idle one was due again.
  const begun = walrus.stats().syncs
  for (let sent = 0; walrus.stats().syncs < begun + 10; sent++) await producer.append(String(sent))
  const idleWriter = walrus.stats().writers.find(({ partitions }) => partitions.includes('idle/0'))!
  expect(idleWriter.partitions).toEqual(['idle/0'])
  expect(idleWriter.syncs).toBeLessThanOrEqual(2)
  await walrus.close()
})
