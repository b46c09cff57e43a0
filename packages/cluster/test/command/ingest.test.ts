import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { valuesOf, walrus, walrusIngest } from '../support/walrus-command.js'

const dataFolder = path.join(path.dirname(createRequire(import.meta.url).resolve('vega-datasets')), '../data')
const flightsFile = path.join(dataFolder, 'flights-10k.json')
const flights: unknown[] = JSON.parse(fs.readFileSync(flightsFile, 'utf8'))

/** A log's directory, and files beside it. */
function place(files: Record<string, string | Uint8Array> = {}) {
  const directory = temporaryDirectory()
  const file = (name: string) => path.join(directory, name)
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(file(name), content)
  return { dir: file('data'), file }
}

const sorted = (values: string[]) => [...values].sort()

describe('a JSON array', () => {
  it('is stored, read back and verified, and a second run appends', async () => {
    const { dir } = place()
    const first = await walrusIngest([flightsFile, '--dir', dir, '--partitions', '3', '--producers', '2'])
    expect(first.stderr).toContain('verified: 10,000 records')
    expect(first.code).toBe(0)
    expect(first.summary).toMatchObject({
      topic: 'flights-10k',
      dir,
      files: [flightsFile],
      records: 10_000,
      rejected: 0,
      rejects: [],
      verified: true,
      verifyProblems: [],
      producers: 2,
      partitions: 3,
      durability: 'disk',
      appendedTo: 0,
      interrupted: false,
      position: { file: flightsFile, line: 0, byte: fs.statSync(flightsFile).size },
    })
    const { summary } = first
    for (const name of ['bytes', 'seconds', 'recordsPerSecond', 'mbPerSecond', 'syncs', 'recordsPerSync'] as const) {
      expect(summary[name], name).toBeGreaterThan(0)
    }
    expect(summary.recordsPerSecond).toBeCloseTo(summary.records / summary.seconds)
    expect(summary.ackLatencyMs.p999).toBeGreaterThanOrEqual(summary.ackLatencyMs.p50)
    expect(summary.writers.reduce((sum, { records }) => sum + records, 0)).toBe(10_000)
    expect(summary.writers.flatMap(({ partitions }) => partitions).sort()).toEqual(
      [0, 1, 2].map((n) => `flights-10k/${n}`),
    )

    // Partitions and codec are the topic's own now, and need not be named again.
    const second = await walrusIngest([flightsFile, '--dir', dir, '--producers', '3'])
    expect(second.stderr).toContain('topic flights-10k holds 10,000 records already; appending')
    expect(second.summary).toMatchObject({ appendedTo: 10_000, records: 10_000, partitions: 3, verified: true })
    const values = await valuesOf(dir, 'flights-10k')
    const expected = [...flights, ...flights].map((flight) => JSON.stringify(flight))
    expect(sorted(values.map((value) => JSON.stringify(JSON.parse(value))))).toEqual(sorted(expected))
  })

  it('prints a table for people, one row a writer', async () => {
    const { dir, file } = place({ 'a.json': '[1,2,3]' })
    const { code, stdout, stderr } = await walrus(['ingest', file('a.json'), '--dir', dir, '--durability', 'os'])
    expect(code).toBe(0)
    for (const word of ['records/s', 'MB/s', 'syncs', 'p50 / p99 / p99.9', 'writer']) expect(stdout).toContain(word)
    expect(stderr).toContain('verified: 3 records')
    // No terminal, no colours.
    expect(stdout + stderr).not.toContain('\x1b')
  })
})

describe('malformed lines', () => {
  const lines = ['{"n":1}', '{"n":', '', '{"n":2}', 'x', '{"n":3}']

  it('are listed with file and line, and the run goes on', async () => {
    const { dir, file } = place({ 'a.ndjson': lines.join('\n') })
    const { code, summary, stderr } = await walrusIngest([file('a.ndjson'), '--dir', dir])
    expect(code).toBe(1)
    expect(stderr).toContain(`${file('a.ndjson')}:2: not JSON`)
    expect(stderr).toContain(`${file('a.ndjson')}:5: not JSON`)
    expect(stderr).toContain('2 records rejected')
    expect(summary).toMatchObject({ records: 3, rejected: 2, verified: true })
    expect(summary.rejects.map(({ line }) => line)).toEqual([2, 5])
    expect(sorted(await valuesOf(dir, 'a'))).toEqual(['{"n":1}', '{"n":2}', '{"n":3}'])
  })

  it('end a strict run: all before the first is written, nothing behind it', async () => {
    const good = Array.from({ length: 60_000 }, (_, n) => `{"n":${n}}`)
    const source = [...good.slice(0, 30_000), '{"n":', ...good.slice(30_000)]
    const { dir, file } = place({ 'a.ndjson': source.join('\n') })
    const { code, summary } = await walrusIngest([file('a.ndjson'), '--dir', dir, '--strict', '--producers', '3'])
    expect(code).toBe(1)
    expect(summary).toMatchObject({ records: 30_000, rejected: 1, verified: true, position: { line: 30_000 } })
    expect(summary.rejects).toMatchObject([{ line: 30_001 }])
    const bytesBefore = good.slice(0, 30_000).reduce((sum, line) => sum + line.length + 1, 0)
    expect(summary.position?.byte).toBe(bytesBefore)
    expect(sorted(await valuesOf(dir, 'a'))).toEqual(sorted(good.slice(0, 30_000)))
  })

  it('of hundreds are counted, and the first twenty listed in order', async () => {
    const source = Array.from({ length: 60_000 }, (_, n) => (n % 100 === 99 ? 'bad' : String(n))).join('\n')
    const { dir, file } = place({ 'a.ndjson': source })
    const { summary } = await walrusIngest([file('a.ndjson'), '--dir', dir, '--producers', '3'])
    expect(summary).toMatchObject({ records: 59_400, rejected: 600, verified: true })
    expect(summary.rejects.map(({ line }) => line)).toEqual(Array.from({ length: 20 }, (_, index) => (index + 1) * 100))
  })
})

describe('keys', () => {
  it('keep their records in one partition and in the order of the source', async () => {
    const keys = ['SFO', 'LAX', 'JFK', 'ORD', 'SEA', 'ATL', 'BOS']
    const source = Array.from({ length: 70_000 }, (_, n) => `{"from":"${keys[(n * n) % 7]}","n":${n}}`).join('\n')
    const { dir, file } = place({ 'a.ndjson': source })
    const { summary } = await walrusIngest([
      ...[file('a.ndjson'), '--dir', dir, '--key', 'from'],
      ...['--partitions', '3', '--producers', '3', '--durability', 'os'],
    ])
    expect(summary).toMatchObject({ records: 70_000, verified: true })
    const { stdout } = await walrus(['read', 'a', '--dir', dir, '--json'])
    const partitions = new Map<string, number>()
    const last = new Map<string, number>()
    for (const line of stdout.split('\n').slice(0, -1)) {
      const { partition, key, value } = JSON.parse(line)
      expect(key).toBe(value.from)
      expect(partitions.get(key) ?? partition).toBe(partition)
      expect(last.get(key) ?? -1).toBeLessThan(value.n)
      partitions.set(key, partition)
      last.set(key, value.n)
    }
  })

  it('that a record has not make it a reject', async () => {
    const { dir, file } = place({ 'a.csv': 'id,name\n1,one\n2\n', 'b.csv': 'name\none\n' })
    const { code, summary } = await walrusIngest([file('a.csv'), file('b.csv'), '--dir', dir, '--key', 'id'])
    expect(code).toBe(1)
    expect(summary).toMatchObject({ topic: 'a', records: 1, rejected: 2, verified: true })
    expect(summary.rejects).toEqual([
      { file: file('a.csv'), line: 3, reason: '1 column, the header has 2' },
      { file: file('b.csv'), line: 1, reason: expect.stringContaining('no column "id"') },
    ])
  })
})

describe('standard input', () => {
  it('is read as what it looks like', async () => {
    const { dir } = place()
    const json = await walrusIngest(['-', '--dir', dir, '--topic', 'json'], '\n[1,\n2]\n')
    expect(json.stderr).toContain('<stdin> (json)')
    expect(json.summary).toMatchObject({ records: 2, verified: true, files: ['<stdin>'] })
    const lines = await walrusIngest(['-', '--dir', dir], 'one\r\ntwo')
    expect(lines.stderr).toContain('<stdin> (lines)')
    expect(lines.summary).toMatchObject({ topic: 'stdin', records: 2, bytes: 6 })
    expect(sorted(await valuesOf(dir, 'stdin'))).toEqual(['one', 'two'])
  })

  it('may be empty', async () => {
    const { dir } = place()
    const { code, summary } = await walrusIngest(['-', '--dir', dir], '')
    expect(code).toBe(0)
    expect(summary).toMatchObject({
      records: 0,
      bytes: 0,
      seconds: 0,
      recordsPerSync: null,
      verified: true,
      position: null,
    })
    const again = await walrus(['ingest', '-', '--dir', dir], '')
    expect(again.stdout).toBe('topic stdin: no records from <stdin>\n')
  })
})

describe('what cannot be meant', () => {
  const { file } = { file: (name: string) => path.join(dataFolder, name) }

  it.each([
    ['a missing file', ['nowhere.json'], 'there is no file nowhere.json'],
    ['a directory', [dataFolder], 'is a directory'],
    ['standard input twice', ['-', '-'], 'once only'],
    ['an unknown format', ['--format', 'xml'], 'xml'],
    ['no producers', ['--producers', '0'], "'0' is invalid. A whole number from 1 to 64 is wanted"],
    ['a number that is none', ['--partitions', 'many'], "'many' is invalid. A whole number from 1 to 4096 is wanted"],
    ['an hour and more between syncs', ['--durability', '3600001'], '1 to 3600000 milliseconds'],
    ['no key', ['--key', ''], 'option key: "" was given, the name of a field is wanted'],
    ['a delimiter of two', ['--delimiter', 'ab'], 'option delimiter: "ab" was given, one ASCII character'],
    ['a directory below a file', ['--dir', file('barley.json')], 'barley.json'],
    ['an unknown durability', ['--durability', 'soon'], 'One of disk, os, none'],
    ['a key of plain lines', [file('us-state-capitals.json'), '--format', 'lines', '--key', 'a'], 'no fields'],
    ['a topic that cannot be one', [file('barley.json'), '--topic', '../x'], 'topic name'],
    ['an option that is none', ['--nope'], '--nope'],
  ])('is refused with exit code 2 and nothing written: %s', async (_, commandArguments, message) => {
    const { dir } = place()
    const { code, stdout, stderr } = await walrus(['ingest', '--dir', dir, '--json', ...commandArguments])
    expect(stderr).toContain(message)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    // The log may have been opened, but it holds no topic.
    const entries = fs.existsSync(dir) ? fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }) : []
    expect(entries.filter((name) => name.endsWith('.log'))).toEqual([])
  })

  it('is another codec in a topic that exists', async () => {
    const { dir, file: own } = place({ 'a.txt': 'text\n' })
    expect((await walrusIngest([own('a.txt'), '--dir', dir])).code).toBe(0)
    const { code, stderr } = await walrus(['ingest', own('a.txt'), '--format', 'ndjson', '--dir', dir])
    expect(stderr).toMatch(/^TOPIC_MISMATCH: .*--topic.*--format.*\n$/)
    expect(code).toBe(2)
  })

  it('is what is compressed, told by its beginning', async () => {
    const { dir, file: own } = place({ 'a.ndjson.gz': gzipSync('{"a":1}\n') })
    const { code, stderr } = await walrus(['ingest', own('a.ndjson.gz'), '--dir', dir])
    expect(stderr).toMatch(/^INVALID_ARGUMENT: .*a\.ndjson\.gz is compressed with gzip.*zcat.*nothing was written\n$/)
    expect(code).toBe(2)
    expect(fs.existsSync(dir)).toBe(false)
  })
})
