import { describe, expect, test } from 'vitest'
import {
  expectRefusal,
  openFilesBelow,
  openLog,
  readAll,
  readValues,
  runProcess,
  sendAll,
  temporaryDirectory,
} from './fixture.js'

describe('close', () => {
  test('settles every outstanding append, and all that was sent', async () => {
    const directory = temporaryDirectory()
    for (let round = 0; round < 3; round++) {
      const walrus = await openLog(directory, { durability: round === 1 ? 'disk' : 'os' })
      const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 3, segmentBytes: 16 << 10 })
      const producers = [topic.producer(), topic.producer(), topic.producer()]
      const appends: Promise<unknown>[] = []
      for (const [number, producer] of producers.entries()) {
        for (let index = 0; index < 200; index++) {
          appends.push(producer.append(`${round} ${number} ${index}`))
          appends.push(producer.appendBatch([`${round} ${number} ${index} a`, `${round} ${number} ${index} b`]))
        }
        await sendAll(producer, [`${round} ${number} sent`])
      }
      await walrus.close()
      const outcomes = await Promise.allSettled(appends)
      expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([])
    }
    // Open again right away, three times; all is there.
    const again = await openLog(directory)
    const read = await readAll(await again.topic<string>('t'))
    expect(read).toHaveLength(3 * 3 * (200 * 3 + 1))
    expect(new Set(read.map(({ value }) => value)).size).toBe(read.length)
  })

  test('twice, and from both sides at once, is once', async () => {
    const walrus = await openLog()
    const producer = (await walrus.topic<string>('t', { codec: 'utf8' })).producer()
    const append = producer.append('x')
    await Promise.all([walrus.close(), walrus.close(), producer.close()])
    expect(await append).toMatchObject({ offset: 0 })
    await walrus.close()
  })

  test('ends though its callers go on appending, who are told', async () => {
    const walrus = await openLog()
    const producer = (await walrus.topic<string>('t', { codec: 'utf8' })).producer()
    let appended = 0
    const appendOn = async (): Promise<void> => {
      for (;;) await producer.append(String(appended++))
    }
    const callers = Array.from({ length: 20 }, () => expectRefusal(appendOn(), 'CLOSED'))
    await producer.append('x')
    await Promise.all([producer.close(), producer.close(), walrus.close()])
    await Promise.all(callers)
  })

  test('of a producer leaves the log open, and its lanes to the next', async () => {
    const walrus = await openLog(undefined, { laneBytesMax: 2 << 20 })
    const topic = await walrus.topic<string>('t', { codec: 'utf8' })
    // Far more than there is memory for at once.
    for (let index = 0; index < 100; index++) {
      await using producer = topic.producer()
      producer.send(String(index))
    }
    expect(await readValues(topic)).toEqual(Array.from({ length: 100 }, (_none, index) => String(index)))
  })

  test('leaves no thread, no timer, no descriptor and no lock', async () => {
    const directory = temporaryDirectory()
    const before = process.getActiveResourcesInfo().sort()
    for (let round = 0; round < 3; round++) {
      const walrus = await openLog(directory)
      const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 4, segmentBytes: 4096 })
      const producer = topic.producer()
      await sendAll(
        producer,
        Array.from({ length: 100 }, (_none, index) => `${index}`.padEnd(300)),
      )
      await producer.flush()
      const batches = topic.read()
      await batches.next()
      await batches.return()
      expect(openFilesBelow(directory) ?? ['LOCK']).not.toEqual([])
      await walrus.close()
      expect(openFilesBelow(directory) ?? []).toEqual([])
    }
    const left = process.getActiveResourcesInfo().sort()
    expect(left.filter((name) => name === 'MessagePort' || name === 'Worker')).toEqual(
      before.filter((name) => name === 'MessagePort' || name === 'Worker'),
    )
  })
})

describe('a process', () => {
  test('that closes its log ends by itself', async () => {
    const { messages, code } = await runProcess('process', { directory: temporaryDirectory(), mode: 'close' })
    expect([messages, code]).toEqual([['acknowledged'], 0])
  })

  test('that forgets to close ends by itself, and loses nothing that was acknowledged or sent', async () => {
    const directory = temporaryDirectory()
    for (const mode of ['forget', 'forget and send']) {
      const { messages, code } = await runProcess('process', { directory, mode })
      expect([messages, code]).toEqual([['acknowledged'], 0])
    }
    const { code } = await runProcess('process', { directory, mode: 'exit' })
    expect(code).toBe(0)
    const values = await readValues(await (await openLog(directory)).topic<string>('t'))
    expect(values).toEqual(['appended', 'appended', 'sent', 'appended'])
  })

  test('with an open following reader stays until that is aborted', async () => {
    const { messages, code } = await runProcess('process', { directory: temporaryDirectory(), mode: 'follow' })
    expect([messages, code]).toEqual([['acknowledged', 'still here', 'aborted'], 0])
  })
})
