import path from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { expect, it, onTestFinished } from 'vitest'
import type { Look } from '#cluster/command/watch.js'
import { temporaryDirectory } from '../support/temporary.js'
import { startWalrus, walrus } from '../support/walrus-command.js'

async function busyLog(): Promise<string> {
  const dir = path.join(temporaryDirectory(), 'data')
  const log = await Walrus.open(dir, { durability: 'os', writerThreadsMax: 1 })
  const topic = await log.topic<string>('t', { codec: 'utf8' })
  const producer = topic.producer()
  const consumer = topic.consumer('billing', { follow: false })
  let isWriting = true
  const writing = (async () => {
    while (isWriting) {
      await producer.append('x'.repeat(100))
      await consumer.read(1)
    }
  })()
  onTestFinished(async () => {
    isWriting = false
    await writing
    await log.close()
  })
  return dir
}

/** Until a look says what is wanted: how soon it does is nobody's promise. */
async function lookUntil(dir: string, isWanted: (look: Look) => boolean): Promise<Look> {
  const running = startWalrus(['stats', '--watch', '--every', '0.2', '--json', '--dir', dir])
  try {
    let text = ''
    for await (const piece of running.child.stdout!) {
      text += piece
      const lines = text.split('\n')
      text = lines.pop()!
      for (const look of lines.map((line): Look => JSON.parse(line))) if (isWanted(look)) return look
    }
    throw new Error(`it ended: ${running.output.stderr}`)
  } finally {
    running.child.kill('SIGKILL')
  }
}

it('shows rates, lags, writer threads and lanes of a log that another process writes', async () => {
  const dir = await busyLog()
  const look = await lookUntil(dir, ({ process, topics }) => {
    const [writer] = process?.writers ?? []
    return Boolean(writer?.recordsPerSecond && topics[0].recordsPerSecond && topics[0].groups.length > 0)
  })
  expect(look).toMatchObject({
    topics: [{ topic: 't', records: expect.any(Number), groups: [{ group: 'billing', lag: expect.any(Number) }] }],
    process: { pid: process.pid, writers: [{ writer: 0, partitions: 2, lanes: expect.any(Number) }] },
  })
  const [writer] = look.process!.writers
  expect(writer.laneFill).toBeGreaterThanOrEqual(0)
  expect(writer.laneFill).toBeLessThanOrEqual(1)
  expect(writer.syncsPerSecond).not.toBeNull()
})

it('prints plain lines into a pipe, ends after as many looks as it is told, and with 130 by Ctrl-C', async () => {
  const dir = await busyLog()
  const { code, stdout } = await walrus(['stats', 't', '--watch', '--every', '0.1', '--limit', '2', '--dir', dir])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^\d{4}-\S+Z {2}topic t: [\d,]+ records, - records\/s, - MB\/s\n/)
  expect(stdout.match(/topic t:/g)).toHaveLength(2)
  expect(stdout).not.toContain('\x1b')
  const running = startWalrus(['stats', '--watch', '--every', '0.1', '--dir', dir])
  await new Promise((resolve) => running.child.stdout!.once('data', resolve))
  running.child.kill('SIGINT')
  expect((await running.ended).code).toBe(130)
})

it('says where no process writes, and refuses what cannot be meant', async () => {
  const dir = path.join(temporaryDirectory(), 'data')
  await (await Walrus.open(dir)).close()
  const { code, stdout } = await walrus(['stats', '--watch', '--limit', '1', '--dir', dir])
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/no process writes\n$/) })
  expect((await walrus(['stats', 'nope', '--watch', '--dir', dir])).code).toBe(2)
  expect((await walrus(['stats', '--watch', '--every', '0', '--dir', dir])).code).toBe(2)
})
