import fs from 'node:fs'
import path from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { describe, expect, it, onTestFinished } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { valuesOf, walrus } from '../support/walrus-command.js'

async function liveLog(): Promise<{ dir: string; target: string; log: Walrus }> {
  const root = temporaryDirectory()
  const dir = path.join(root, 'data')
  const log = await Walrus.open(dir, { durability: 'os' })
  onTestFinished(() => log.close())
  return { dir, target: path.join(root, 'copy'), log }
}

describe('walrus backup', () => {
  it('copies a log that is being written, and again what is new; the copy is sound, and has its consumers and producers', async () => {
    const { dir, target, log } = await liveLog()
    const topic = await log.topic<string>('t', { codec: 'utf8', partitions: 2, segmentBytes: 4096 })
    const producer = topic.producer()
    const named = topic.producer({ producerId: 'orders', partition: 0 })
    const consumer = topic.consumer('billing', { follow: false })
    let isWriting = true
    const writing = (async () => {
      for (let n = 0; isWriting; n++) {
        await producer.append(`${n} ${'x'.repeat(200)}`)
        await named.append(`named ${n}`)
        await consumer.read(2)
      }
    })()
    for (let round = 0; round < 3; round++) {
      const { code, stdout, stderr } = await walrus(['backup', target, '--dir', dir, '--json'])
      expect({ code, stderr: stderr.replace(/^backup: .*\n/gm, '') }).toEqual({ code: 0, stderr: '' })
      expect(JSON.parse(stdout)).toMatchObject({ dir, target, topics: 2, partitions: 3 })
      const verified = await walrus(['verify', '--dir', target])
      expect(verified.code, verified.stdout).toBe(0)
    }
    isWriting = false
    await writing
    const copy = await Walrus.open(target, {
      recovery: 'strict',
      onEvent: (event) => expect.unreachable(JSON.stringify(event)),
    })
    const copied = await copy.topic<string>('t')
    const { groups } = await copied.stats()
    expect(groups).toMatchObject([{ group: 'billing' }])
    for (const { lag } of groups[0].partitions) expect(lag).toBeGreaterThanOrEqual(0)
    const again = copied.producer({ producerId: 'orders', partition: 0 })
    await again.ready()
    const known = again.lastSequence
    expect(known).toBeGreaterThan(0)
    expect(await again.append(`named ${known}`, { sequence: known })).toMatchObject({ duplicate: true })
    expect(await again.append(`named ${known + 1}`, { sequence: known + 1 })).not.toMatchObject({ duplicate: true })
    await copy.close()
    const names = (await valuesOf(target, 't')).filter((value) => value.startsWith('named'))
    expect(names).toEqual(Array.from({ length: known + 2 }, (_, n) => `named ${n}`))
  })

  it('says what it did to a person, and refuses what cannot be meant', async () => {
    const { dir, target, log } = await liveLog()
    await (await log.topic('t', { codec: 'utf8' })).producer().append('a')
    const { code, stdout } = await walrus(['backup', target, '--dir', dir])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(
        /^1 topic, 1 partition, 1 record in .*: 1 segment copied \(\d+ bytes\), 0 there already\n$/,
      ),
    })
    expect((await walrus(['backup', dir, '--dir', dir])).code).toBe(2)
    await expect(log.backup(7 as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'target' })
    expect((await walrus(['backup', target, '--dir', path.join(dir, 'nowhere')])).code).toBe(2)
    const other = await Walrus.open(target)
    const locked = await walrus(['backup', target, '--dir', dir])
    await other.close()
    expect({ code: locked.code, stderr: locked.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^LOCKED: /),
    })
    expect(fs.existsSync(path.join(target, 'default/t/0/.copying'))).toBe(false)
  })
})
