import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { type Walrus, Walrus as WalrusClass } from '#actors/index.js'
import { errorOf, expectRefusal, openLog, temporaryDirectory, workerUrl } from './fixture.js'

const SUM = new URL('../workers/scan-sum.js', import.meta.url)
const BAD = new URL('../workers/scan-bad.js', import.meta.url)

interface Sum {
  total: number
  count: number
  topics: string[]
  partitions: number[]
  threads: number[]
}

const add = (left: Sum, right: Sum): Sum => ({
  total: left.total + right.total,
  count: left.count + right.count,
  topics: [...new Set([...left.topics, ...right.topics])],
  partitions: [...new Set([...left.partitions, ...right.partitions])].sort(),
  threads: [...new Set([...left.threads, ...right.threads])],
})

const COUNT = 3000
const ALL = { total: (COUNT * (COUNT - 1)) / 2, count: COUNT }

/** Numbers from 0 on in several partitions and many segments. */
async function numbers(walrus: Walrus): Promise<void> {
  const topic = await walrus.topic<number>('n', { codec: 'json', partitions: 3, segmentBytes: 4096 })
  const producer = topic.producer()
  const batches = Array.from({ length: COUNT / 100 }, (_, batch) => {
    return Array.from({ length: 100 }, (_, index) => batch * 100 + index)
  })
  await Promise.all(batches.map((values) => producer.appendBatch(values)))
}

describe('a scan', () => {
  test('maps every record once, in several threads, and makes one of the parts', async () => {
    const walrus = await openLog()
    await numbers(walrus)
    for (const threads of [1, 2, 4]) {
      const sum = await walrus.scan<Sum>('n', SUM, { reduce: add, args: { factor: 1 }, threads })
      expect(sum).toMatchObject({ ...ALL, topics: ['n'], partitions: [0, 1, 2] })
      expect(sum!.threads.length).toBeLessThanOrEqual(threads)
    }
    const doubled = await walrus.scan<Sum>(await walrus.topic('n'), SUM.href, { reduce: add, args: { factor: 2 } })
    expect(doubled).toMatchObject({ total: 2 * ALL.total })
    const parts = []
    for (const partition of [0, 1, 2]) {
      parts.push((await walrus.scan<Sum>('n', SUM, { reduce: add, args: { factor: 1 }, partition }))!)
    }
    expect(parts.reduce(add)).toMatchObject(ALL)
  })

  test('begins where the log does after a trim, and ends where it ended at the call', async () => {
    const walrus = await openLog()
    const topic = await walrus.topic<number>('n', { codec: 'json' })
    const producer = topic.producer()
    await producer.appendBatch([1, 2, 4, 8])
    await topic.trim({ before: 2 })
    const scan = () => walrus.scan<Sum>('n', SUM, { reduce: add, args: { factor: 1 } })
    expect(await scan()).toMatchObject({ total: 12, count: 2 })
    await topic.trim({ before: 'end' })
    expect(await scan()).toBeUndefined()
    const initial = { total: 5, count: 0, topics: [], partitions: [], threads: [] }
    expect(await walrus.scan<Sum>('n', SUM, { reduce: add, args: { factor: 1 }, initial })).toEqual(initial)
  })

  test('works in a log that is only read, and in other threads', async () => {
    const directory = temporaryDirectory()
    const walrus = await openLog(directory)
    await numbers(walrus)
    const options = { reduce: add, args: { factor: 1 } }
    const reader = await WalrusClass.open(directory, { readOnly: true })
    expect(await reader.scan<Sum>('n', SUM, options)).toMatchObject(ALL)
    await reader.close()
    const attached = await WalrusClass.attach(walrus.handle())
    expect(await attached.scan<Sum>('n', SUM, options)).toMatchObject(ALL)
    await attached.close()
  })

  test("tells the function's own error, and leaves the log as it was", async () => {
    const walrus = await openLog()
    await numbers(walrus)
    const bad = (args: string) => errorOf(walrus.scan('n', BAD, { reduce: add, args }))
    expect(await bad('throw')).toMatchObject({
      code: 'SCAN_FAILED',
      message: expect.stringContaining('scan-bad.js'),
      cause: { name: 'RangeError', message: 'one too many', code: 'TOO_MANY', found: 3 },
    })
    expect(((await bad('throw')).cause as Error).stack).toContain('scan-bad.js')
    expect(await bad('exit')).toMatchObject({ code: 'SCAN_FAILED', cause: expect.any(Error) })
    expect(await bad('uncloneable')).toMatchObject({ code: 'SCAN_FAILED' })
    const nowhere = pathToFileURL('/nowhere/map.js')
    expect(await errorOf(walrus.scan('n', nowhere, { reduce: add }))).toMatchObject({
      code: 'SCAN_FAILED',
      message: expect.stringContaining('/nowhere/map.js'),
    })
    expect(await errorOf(walrus.scan('n', workerUrl('values'), { reduce: add }))).toMatchObject({ code: 'SCAN_FAILED' })
    const broken = walrus.scan<Sum>('n', SUM, {
      reduce: () => {
        throw new Error('cannot add')
      },
      args: { factor: 1 },
    })
    await expect(broken).rejects.toThrow('cannot add')
    expect(await walrus.scan<Sum>('n', SUM, { reduce: add, args: { factor: 1 } })).toMatchObject(ALL)
  })

  test('ends when it is told to, also where the function never would', async () => {
    const walrus = await openLog()
    await numbers(walrus)
    const abort = new AbortController()
    const scan = walrus.scan('n', BAD, { reduce: add, args: 'hang', signal: abort.signal })
    setTimeout(() => abort.abort(new Error('enough')), 100)
    await expect(scan).rejects.toThrow('enough')
    await expect(walrus.scan('n', SUM, { reduce: add, signal: abort.signal })).rejects.toThrow('enough')
  })

  test('refuses what cannot be meant', async () => {
    const walrus = await openLog()
    await numbers(walrus)
    const deleted = await walrus.topic('again', { codec: 'json' })
    await walrus.deleteTopic('again')
    await expectRefusal(walrus.scan(deleted, SUM, { reduce: add }), 'UNKNOWN_TOPIC')
    await walrus.topic('again', { codec: 'json' })
    await expectRefusal(walrus.scan(deleted, SUM, { reduce: add }), 'UNKNOWN_TOPIC')
    await expectRefusal(walrus.scan('nope', SUM, { reduce: add }), 'UNKNOWN_TOPIC')
    await expectRefusal(walrus.scan('n', SUM, {} as never), 'INVALID_ARGUMENT', { field: 'reduce' })
    await expectRefusal(walrus.scan('n', 7 as never, { reduce: add }), 'INVALID_ARGUMENT', { field: 'module' })
    await expectRefusal(walrus.scan('n', SUM, { reduce: add, partition: 7 }), 'INVALID_ARGUMENT', {
      field: 'partition',
    })
    await expectRefusal(walrus.scan('n', SUM, { reduce: add, threads: 0 }), 'INVALID_ARGUMENT', { field: 'threads' })
  })
})
