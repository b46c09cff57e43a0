import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { startWalrus, walrus } from '../support/walrus-command.js'

/** Of two partitions, each is the place of one of them. */
const KEYS = ['a', 'd']

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'walrus-cluster-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

/** A log with a topic of each kind, for all the tests that only look. */
beforeAll(async () => {
  const log = await Walrus.open(dir)
  const trips = (await log.topic('trips', { partitions: 2, codec: 'json' })).producer()
  for (let n = 0; n < 10; n++) await trips.append({ n, name: 'ü\n' }, { key: KEYS[n % 2] })
  const raw = (await log.topic('raw', { codec: 'bytes', durability: { everyMs: 10 } })).producer()
  await raw.append(Buffer.from([0, 255, 27]), { headers: { kind: 'x' } })
  await raw.append(Buffer.from('second'), { key: Buffer.from([0xff]) })
  const text = (await log.topic('text', { codec: 'utf8' })).producer()
  await text.append('one\x1b[2Jtwo')
  await log.close()
})

const jsonLines = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

describe('walrus topics and stats', () => {
  it('show what is there', async () => {
    const topics = JSON.parse((await walrus(['topics', '--dir', dir, '--json'])).stdout)
    expect(topics).toMatchObject({
      dir,
      topics: [
        { name: 'raw', partitions: 1, codec: 'bytes', durability: { everyMs: 10 }, records: 2 },
        { name: 'text', partitions: 1, codec: 'utf8', durability: 'disk', records: 1 },
        { name: 'trips', partitions: 2, codec: 'json', durability: 'disk', records: 10 },
      ],
    })
    const table = await walrus(['topics', '--dir', dir])
    expect(table.stdout).toMatch(/trips\s+│\s+2 │ json/)
    const stats = JSON.parse((await walrus(['stats', 'trips', '--dir', dir, '--json'])).stdout)
    expect(stats.topics).toHaveLength(1)
    expect(stats.topics[0]).toMatchObject({ topic: 'trips', records: 10 })
    expect(stats.topics[0].partitions).toMatchObject([
      { partition: 0, first: 0, segments: 1 },
      { partition: 1, first: 0, segments: 1 },
    ])
    expect((await walrus(['stats', '--dir', dir])).stdout).toMatch(/raw\s+│\s+0 │\s+0 │\s+2 │\s+2 │/)
  })

  it('make nothing where there is nothing', async () => {
    const nowhere = path.join(temporaryDirectory(), 'nowhere')
    const { code, stderr } = await walrus(['topics', '--dir', nowhere])
    expect(code).toBe(2)
    expect(stderr).toContain('there is no log in')
  })

  it('look beside a process that writes; who wants to write is told who it is', async () => {
    const log = await Walrus.open(dir)
    const stats = await walrus(['stats', 'trips', '--dir', dir, '--json'])
    const topics = await walrus(['topics', '--dir', dir, '--json'])
    const read = await walrus(['read', 'trips', '--dir', dir, '--values'])
    const group = await walrus(['read', 'trips', '--dir', dir, '--group', 'g'])
    await log.close()
    expect(JSON.parse(stats.stdout).topics).toMatchObject([{ topic: 'trips', records: 10 }])
    expect(JSON.parse(topics.stdout).topics).toHaveLength(3)
    expect(read.stdout.split('\n')).toHaveLength(11)
    expect(group.code).toBe(1)
    expect(group.stderr).toMatch(new RegExp(`^LOCKED: .*\\b${process.pid}\\b.*\\n$`))
  })
})

describe('a log that is not there', () => {
  const commands = [
    ['topics'],
    ['stats'],
    ['read', 'trips'],
    ['trim', 'trips', '--before', 'end'],
    ['delete', 'trips'],
    ['verify'],
  ]

  it.each(commands)('is named, together with those that are: %s', async (...command) => {
    const unknown = await walrus([...command, '--dir', dir, '--namespace', 'other'])
    expect(unknown.stderr).toMatch(/^INVALID_ARGUMENT: there is no namespace "other" in .*there are: default\n$/)
    const within = await walrus([...command, '--dir', path.join(dir, 'default')])
    expect(within.stderr).toContain(`--dir ${dir} --namespace default`)
    expect([unknown.code, within.code]).toEqual([2, 2])
    expect(fs.readdirSync(dir)).toEqual(['default'])
  })
})

describe('walrus read', () => {
  it('prints records as JSON, as values, and for people', async () => {
    const records = jsonLines((await walrus(['read', 'trips', '--dir', dir, '--json'])).stdout)
    expect(records).toHaveLength(10)
    expect(records.find(({ value }) => value.n === 3)).toEqual({
      partition: expect.any(Number),
      offset: expect.any(Number),
      timestamp: expect.any(Number),
      key: KEYS[1],
      value: { n: 3, name: 'ü\n' },
    })
    const raw = jsonLines((await walrus(['read', 'raw', '--dir', dir, '--json'])).stdout)
    expect(raw).toMatchObject([
      { offset: 0, key: null, headers: { kind: 'x' }, value: 'AP8b' },
      { offset: 1, key: '/w==', value: Buffer.from('second').toString('base64') },
    ])
    expect((await walrus(['read', 'text', '--dir', dir, '--values'])).stdout).toBe('one\x1b[2Jtwo\n')
    // What goes to a person's terminal cannot steer it.
    expect((await walrus(['read', 'text', '--dir', dir])).stdout).toMatch(/^0\/0 {2}\d{4}-.*Z {2}one\\u001b\[2Jtwo\n$/)
  })

  it('begins where it is told, and ends there', async () => {
    const read = async (...options: string[]) => {
      const { stdout } = await walrus(['read', 'raw', '--dir', dir, '--json', ...options])
      return jsonLines(stdout).map(({ offset }) => offset)
    }
    expect(await read('--from', '1')).toEqual([1])
    expect(await read('--from', 'end')).toEqual([])
    expect(await read('--limit', '1')).toEqual([0])
    expect(await read('--limit', '0')).toEqual([])
    expect(await read('--partition', '0')).toEqual([0, 1])
    expect(await read('--from', '2020-01-01')).toEqual([0, 1])
    expect(await read('--from', '2999-01-01T00:00:00Z')).toEqual([])
  })

  it.each([
    ['an unknown topic', ['nope'], 2, /^UNKNOWN_TOPIC: .*raw, text, trips\n$/],
    ['a partition that is not there', ['raw', '--partition', '7'], 2, /partition/],
    ['an offset that is not there', ['raw', '--from', '99'], 1, /^OFFSET_OUT_OF_RANGE/],
    ['a date that is none', ['raw', '--from', 'yesterday'], 2, /--from/],
    ['no topic', [], 2, /topic/],
  ])('refuses %s', async (_, commandArguments, exitCode, message) => {
    const { code, stdout, stderr } = await walrus(['read', ...commandArguments, '--dir', dir])
    expect(stderr).toMatch(message)
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' })
  })

  it('follows until it is interrupted', async () => {
    const { child, ended } = startWalrus(['read', 'raw', '--dir', dir, '--follow', '--values'])
    await new Promise((resolve) => child.stdout!.once('data', resolve))
    child.kill('SIGINT')
    expect(await ended).toEqual({ code: 130, stdout: expect.stringMatching(/\n$/), stderr: '' })
  })

  it('ends quietly when nobody listens any more', async () => {
    const long = path.join(temporaryDirectory(), 'data')
    const log = await Walrus.open(long)
    const producer = (await log.topic('long', { codec: 'utf8' })).producer()
    const value = 'x'.repeat(1000)
    for (let n = 0; n < 20_000; n++) while (!producer.send(value)) await producer.ready()
    await log.close()
    const { child, ended } = startWalrus(['read', 'long', '--dir', long, '--values'])
    child.stdout!.once('data', () => child.stdout!.destroy())
    const { code, stderr } = await ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
})

describe('the command', () => {
  it('has help, for each of its parts, and a version', async () => {
    for (const parts of [[], ['ingest'], ['topics'], ['read'], ['stats'], ['verify']]) {
      const { code, stdout, stderr } = await walrus([...parts, '--help'])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain('Usage: walrus')
      if (parts.length > 0) expect(stdout).toMatch(/--dir .*[\s\S]*WALRUS_DATA_DIR/)
    }
    expect((await walrus(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it.each([[[]], [['nope']]])('without a subcommand that exists is misused: %j', async (commandArguments) => {
    const { code, stdout } = await walrus(commandArguments)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })

  it('takes the directory from the environment, and shows the stack of an error where asked', async () => {
    const { ended } = startWalrus(['topics', '--json'], { env: { WALRUS_DATA_DIR: dir } })
    expect(JSON.parse((await ended).stdout).topics).toHaveLength(3)
    const { stderr } = await walrus(['--verbose', 'read', 'nope', '--dir', dir])
    expect(stderr).toMatch(/UNKNOWN_TOPIC: [\s\S]*\n {4}at /)
  })
})

it.each([
  ['dump', (directory: string) => ['dump', directory], 'there is no file'],
  ['topics', (directory: string) => ['topics', '--dir', path.join(directory, 'file')], 'there is no log'],
])('a file and a directory are not taken for one another: %s', async (_, commandArguments, message) => {
  const directory = temporaryDirectory()
  fs.writeFileSync(path.join(directory, 'file'), '')
  const { code, stderr } = await walrus(commandArguments(directory))
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
})
