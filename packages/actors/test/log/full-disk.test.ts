import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, type TestContext, test } from 'vitest'
import type { Topic, WalrusError } from '#actors/index.js'
import { expectRefusal, openLog, readValues, temporaryDirectory } from './fixture.js'

// A disk of two megabytes that is really full. Needs the right to mount one; elsewhere the simulated disk has to do.

const DISK_BYTES = 2 * 1024 * 1024

function smallDisk({ skip }: TestContext): string {
  const directory = temporaryDirectory()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', directory], { stdio: 'ignore' })
  } catch {
    skip('no disk can be mounted here')
  }
  // Closing the log, which is registered later, comes first.
  onTestFinished(() => void execFileSync('umount', ['-l', directory]))
  return directory
}

/** Leaves not a byte. */
function fill(directory: string): void {
  const file = fs.openSync(path.join(directory, `filler-${Math.random()}`), 'w')
  try {
    for (let bytes = 64 * 1024; bytes >= 1; ) {
      try {
        fs.writeSync(file, new Uint8Array(bytes))
      } catch {
        bytes = Math.floor(bytes / 2)
      }
    }
  } finally {
    fs.closeSync(file)
  }
}

/** Appends until the disk takes nothing more, and returns what was acknowledged. */
async function appendUntilFull(topic: Topic<string>): Promise<string[]> {
  const producer = topic.producer()
  const kept: string[] = []
  for (let number = 0; ; number++) {
    const value = `${number} ${'x'.repeat(20_000)}`
    try {
      await producer.append(value)
      kept.push(value)
    } catch (error) {
      expect(error).toMatchObject({ code: 'DISK_FULL', cause: { code: 'ENOSPC' } })
      await producer.close().catch((refusal: WalrusError) => expect(refusal.code).toBe('DISK_FULL'))
      return kept
    }
  }
}

// Segments of a `disk` topic are sealed as they come. Those that an `os` topic has not sealed yet need room for it.
describe('a topic on a disk that is full', () => {
  const durability = 'disk'

  test('is trimmed, and takes records again', async (context) => {
    const directory = smallDisk(context)
    const walrus = await openLog(directory, { durability })
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 100_000 })
    const kept = await appendUntilFull(topic)
    fill(directory)
    expect(await readValues(topic)).toEqual(kept)
    const [{ first, next }] = await topic.trim({ before: 'end' })
    expect(first).toBe(next)
    await topic.producer().append('again')
    expect(await readValues(topic)).toEqual(['again'])
  })

  test('is opened again, read, and trimmed', async (context) => {
    const directory = smallDisk(context)
    const walrus = await openLog(directory, { durability })
    const kept = await appendUntilFull(await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 100_000 }))
    await walrus.close().catch(() => {})
    fill(directory)
    const again = await openLog(directory, { durability })
    const topic = await again.topic<string>('t')
    expect(await readValues(topic)).toEqual(kept)
    await topic.trim({ before: kept.length - 1, partition: 0 })
    expect(await readValues(topic)).toEqual(kept.slice(-1))
    await again.close()
    const last = await openLog(directory, { durability })
    expect(await readValues(await last.topic<string>('t'))).toEqual(kept.slice(-1))
  })
})

test('what needs room on a full disk says DISK_FULL, and does nothing', async (context) => {
  const directory = smallDisk(context)
  const walrus = await openLog(directory)
  const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 100_000 })
  await topic.producer().append('there')
  fill(directory)
  await expectRefusal(walrus.topic('other'), 'DISK_FULL')
  await expectRefusal(walrus.topic('t', { segmentEntries: 5 }), 'DISK_FULL')
  await expectRefusal(topic.producer({ producerId: 'n' }).ready(), 'DISK_FULL')
  await expectRefusal(topic.consumer('g').read(), 'DISK_FULL')
  expect(await readValues(topic)).toEqual(['there'])
  for (const name of fs.readdirSync(directory)) {
    if (name.startsWith('filler')) fs.rmSync(path.join(directory, name))
  }
  const producer = topic.producer({ producerId: 'n' })
  await producer.append('named')
  expect(producer.lastSequence).toBe(0)
  expect(await topic.consumer('g').read()).toHaveLength(2)
  await walrus.topic('other')
})
