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
