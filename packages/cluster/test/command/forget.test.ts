import fs from 'node:fs'
import path from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { startWalrus, valuesOf, walrus } from '../support/walrus-command.js'

async function filledLog(): Promise<string> {
  const dir = temporaryDirectory()
  const log = await Walrus.open(dir)
  const producer = (await log.topic('trips', { codec: 'utf8', segmentEntries: 10 })).producer()
  for (let n = 0; n < 35; n++) await producer.append(`${n}`)
  const two = (await log.topic('two', { codec: 'utf8', partitions: 2 })).producer()
  for (let n = 0; n < 10; n++) await two.append(`${n}`)
  await log.close()
  return dir
}

describe('walrus trim', () => {
  it('forgets what lies before an offset, a date or the end, and says where the topic begins', async () => {
    const dir = await filledLog()
    const { code, stdout } = await walrus(['trim', 'trips', '--dir', dir, '--before', '12', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ dir, topic: 'trips', partitions: [{ partition: 0, first: 12, next: 35 }] })
    expect((await valuesOf(dir, 'trips'))[0]).toBe('12')
    expect(fs.existsSync(path.join(dir, 'default', 'trips', '0', '00000000000000000000.log'))).toBe(false)
    const past = await walrus(['trim', 'trips', '--dir', dir, '--before', '2020-01-01'])
    expect(past.stdout).toMatch(/partition.*first offset.*next offset[\s\S]*0 │\s+12 │\s+35/)
    const { stdout: all } = await walrus(['trim', 'two', '--dir', dir, '--before', 'end', '--json'])
    for (const { first, next } of JSON.parse(all).partitions) expect(first).toBe(next)
    expect(await valuesOf(dir, 'two')).toEqual([])
  })

  it.each([
    ['no place', ['trips'], 2, /--before/],
    ['the start', ['trips', '--before', 'start'], 2, /--before/],
    ['an offset behind the end', ['trips', '--before', '36'], 1, /^OFFSET_OUT_OF_RANGE/],
    ['an offset of several partitions', ['two', '--before', '3'], 2, /^INVALID_ARGUMENT: .*--partition 0 to 1\n$/],
    ['an unknown topic', ['nope', '--before', 'end'], 2, /^UNKNOWN_TOPIC/],
  ])('refuses %s', async (_, commandArguments, exitCode, message) => {
    const dir = await filledLog()
    const { code, stderr } = await walrus(['trim', ...commandArguments, '--dir', dir])
    expect(stderr).toMatch(message)
    expect(code).toBe(exitCode)
    expect(await valuesOf(dir, 'trips')).toHaveLength(35)
  })
})

describe('walrus delete', () => {
  it('removes the topic and its files, and nothing else', async () => {
    const dir = await filledLog()
    const { code, stdout } = await walrus(['delete', 'trips', '--dir', dir, '--json'])
    expect({ code, told: JSON.parse(stdout) }).toEqual({ code: 0, told: { dir, topic: 'trips', records: 35 } })
    expect(fs.readdirSync(path.join(dir, 'default')).sort()).toEqual(['LOCK', 'two', 'watermarks'])
    expect(await valuesOf(dir, 'two')).toHaveLength(10)
    expect((await walrus(['delete', 'trips', '--dir', dir])).code).toBe(2)
  })
})

describe('namespaces', () => {
  it('come from the environment where none is named, and never lead out of the directory', async () => {
    const dir = temporaryDirectory()
    const run = async (instance: string, ...commandArguments: string[]) => {
      const env = { WALRUS_DATA_DIR: dir, WALRUS_INSTANCE_KEY: instance }
      const { child, ended } = startWalrus(commandArguments, { env })
      child.stdin!.end('one\n')
      return ended
    }
    const ingested = await run('orders-7', 'ingest', '-', '--format', 'lines', '--topic', 't')
    expect(ingested.code, ingested.stderr).toBe(0)
    expect(fs.readdirSync(dir)).toEqual(['orders-7'])
    expect((await run('orders-7', 'read', 't', '--values')).stdout).toBe('one\n')
    expect((await run('other', 'topics')).stderr).toContain('there is no namespace "other"')
    for (const name of ['../x', 'a/b', '.', '..', '/etc', 'a\\b']) {
      const { code, stderr } = await run(name, 'topics')
      expect({ code, stderr }, name).toEqual({ code: 2, stderr: expect.stringMatching(/^INVALID_ARGUMENT: namespace/) })
    }
    expect(fs.readdirSync(dir).sort()).toEqual(['orders-7'])
  })
})
