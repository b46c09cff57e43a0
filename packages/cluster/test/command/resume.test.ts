import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type IngestOptions, ingest } from '#cluster/index.js'
import { temporaryDirectory } from '../support/temporary.js'
import { startWalrus, valuesOf, walrus, walrusIngest } from '../support/walrus-command.js'

const SEED = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() & 0x7fff_ffff)

function place(files: Record<string, string> = {}) {
  const directory = temporaryDirectory()
  const file = (name: string) => path.join(directory, name)
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(file(name), content)
  return { dir: file('data'), file }
}

const lines = (count: number, from = 0, filler = 0): string =>
  Array.from(
    { length: count },
    (_, n) => `{"key":"k${(from + n) % 7}","n":${from + n},"x":"${'x'.repeat(filler)}"}\n`,
  ).join('')

const numbers = (values: string[]): number[] => values.map((value) => JSON.parse(value).n).sort((a, b) => a - b)
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Whether any segment below the directory holds a batch. */
function hasBatch(directory: string): boolean {
  if (!fs.existsSync(directory)) return false
  const segments = fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.log'))
  return segments.some((name) => {
    const descriptor = fs.openSync(path.join(directory, name), 'r')
    try {
      const header = Buffer.alloc(96)
      fs.readSync(descriptor, header, 0, 96, 64)
      return header.toString('latin1', 28, 32) === 'WLB1'
    } finally {
      fs.closeSync(descriptor)
    }
  })
}

/** Starts an ingest and kills it at some moment after it has begun to write, if it does not end before that. */
async function killedIngest(commandArguments: string[], dir: string, random: () => number): Promise<void> {
  const { child, ended } = startWalrus(['ingest', ...commandArguments, '--dir', dir])
  let isOver = false
  void ended.finally(() => {
    isOver = true
  })
  while (!isOver && !hasBatch(dir)) await new Promise((resolve) => setTimeout(resolve, 1))
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, random() * 250))])
  child.kill('SIGKILL')
  await ended
}

function randomOf(purpose: string): () => number {
  let state = SEED ^ purpose.length
  console.log(`${purpose}: WALRUS_TEST_SEED=${SEED}`)
  return () => {
    state = Math.imul(state ^ (state >>> 15), state | 1) + 0x6d2b_79f5
    return ((state ^ (state >>> 14)) >>> 0) / 2 ** 32
  }
}

describe('an ingest that is killed', () => {
  it('goes on where it broke off, again and again, with any number of producers: nothing missing, nothing twice', async () => {
    const random = randomOf('kill the ingest')
    const count = 60_000
    const { dir, file } = place({ 'a.ndjson': lines(count, 0, 300) })
    const common = [file('a.ndjson'), '--partitions', '3', '--durability', 'disk']
    await killedIngest([...common, '--producers', '2'], dir, random)
    for (let kill = 0; kill < 5; kill++) {
      const producers = String(1 + Math.floor(random() * 4))
      await killedIngest([...common, '--resume', '--producers', producers], dir, random)
    }
    const last = await walrusIngest([...common, '--resume', '--producers', '3', '--dir', dir])
    expect(last.stderr).toContain('resuming: ')
    expect(last.summary.records + last.summary.resumed).toBe(count)
    expect(last.summary).toMatchObject({ verified: true, verifyProblems: [] })
    expect(numbers(await valuesOf(dir, 'a'))).toEqual(range(count))
    const again = await walrusIngest([...common, '--resume', '--dir', dir])
    expect(again.code).toBe(0)
    expect(again.summary).toMatchObject({ records: 0, resumed: count, verified: true, appendedTo: count })
  })

  it('keeps the order of each key', async () => {
    const random = randomOf('kill the ingest of keys')
    const count = 40_000
    const { dir, file } = place({ 'a.ndjson': lines(count, 0, 300) })
    const common = [file('a.ndjson'), '--key', 'key', '--partitions', '2', '--durability', 'os', '--producers', '3']
    for (let kill = 0; kill < 2; kill++) await killedIngest([...common, '--resume'], dir, random)
    const { summary } = await walrusIngest([...common, '--resume', '--dir', dir])
    expect(summary.verified).toBe(true)
    const values = (await valuesOf(dir, 'a')).map((value) => JSON.parse(value) as { key: string; n: number })
    for (const key of range(7).map((n) => `k${n}`)) {
      const own = values.filter((value) => value.key === key).map(({ n }) => n)
      expect(own).toEqual(range(count).filter((n) => `k${n % 7}` === key))
    }
  })
})

describe('an ingest that resumes', () => {
  it('takes what a file has gained, and leaves what other runs have done alone', async () => {
    const { dir, file } = place({ 'a.ndjson': lines(5000), 'b.ndjson': lines(3000) })
    const run = (name: string, resume: boolean, producers?: number) =>
      ingest({ files: [file(name)], topic: 't', dir, resume, producers, durability: 'os' })
    expect(await run('a.ndjson', false)).toMatchObject({ records: 5000, resumed: 0, verified: true })
    expect(await run('b.ndjson', true)).toMatchObject({ records: 3000, resumed: 0 })
    fs.appendFileSync(file('a.ndjson'), lines(4000, 5000))
    expect(await run('a.ndjson', true, 7)).toMatchObject({ records: 4000, resumed: 5000, verified: true })
    fs.appendFileSync(file('a.ndjson'), lines(10, 9000))
    expect(await run('a.ndjson', true)).toMatchObject({ records: 10, resumed: 9000, verified: true })
    // Without it, a run appends all of it once more, and that is then the one to go on with.
    expect(await run('a.ndjson', false)).toMatchObject({ records: 9010, resumed: 0, verified: true })
    expect(await run('a.ndjson', true)).toMatchObject({ records: 0, resumed: 9010, verified: true })
    expect(await run('b.ndjson', true)).toMatchObject({ records: 0, resumed: 3000, verified: true })
    expect(await valuesOf(dir, 't')).toHaveLength(9010 * 2 + 3000)
  })

  it('counts records that cannot be taken as it did before, over several files', async () => {
    const bad = (count: number) =>
      Array.from({ length: count }, (_, n) => (n % 100 === 5 ? 'bad\n' : `{"n":${n}}\n`)).join('')
    const { dir, file } = place({ 'a.ndjson': bad(40_000), 'b.ndjson': bad(20_000) })
    const run = () => ingest({ files: [file('a.ndjson'), file('b.ndjson')], dir, resume: true, durability: 'os' })
    const first = await run()
    fs.appendFileSync(file('b.ndjson'), bad(1000))
    const second = await run()
    expect([first.rejected, second.rejected]).toEqual([600, 610])
    expect(second).toMatchObject({ records: 990, resumed: 59_400, verified: true })
    expect(second.rejects).toEqual(first.rejects)
  })

  it.each([
    ['lines', ''],
    ['csv', 'n\n'],
  ] as const)(
    'takes a last line that has got its newline by now as the record that it was: %s',
    async (format, head) => {
      // Long enough for several chunks.
      const text = (from: number, to: number) =>
        range(to - from)
          .map((n) => String(from + n).padEnd(60))
          .join('\n')
      const { dir, file } = place({ a: `${head}${text(0, 10_000)}` })
      const run = () =>
        ingest({ files: [file('a')], topic: 't', format, dir, resume: true, durability: 'os', partitions: 3 })
      expect(await run()).toMatchObject({ records: 10_000, resumed: 0, verified: true })
      fs.appendFileSync(file('a'), `\n${text(10_000, 20_000)}`)
      expect(await run()).toMatchObject({ records: 10_000, resumed: 10_000, verified: true })
      fs.appendFileSync(file('a'), `\n${text(20_000, 20_010)}`)
      expect(await run()).toMatchObject({ records: 10, resumed: 20_000, verified: true })
      const values = await valuesOf(dir, 't')
      const numbers = values.map((value) => Number(format === 'csv' ? JSON.parse(value).n : value))
      expect(numbers.sort((a, b) => a - b)).toEqual(range(20_010))
    },
  )

  it('leaves what a file gains while it is read to the next run', async () => {
    const { dir, file } = place({ 'a.txt': 'one\ntwo\n' })
    const run = (onPlan?: () => void) =>
      ingest({ files: [file('a.txt')], topic: 't', dir, resume: true, durability: 'os' }, { onPlan })
    // Behind the first look at the file, before its first byte is taken: the beginning of a line.
    expect(await run(() => fs.appendFileSync(file('a.txt'), 'thr'))).toMatchObject({ records: 2, verified: true })
    fs.appendFileSync(file('a.txt'), 'ee\n')
    expect(await run()).toMatchObject({ records: 1, resumed: 2, verified: true })
    expect((await valuesOf(dir, 't')).sort()).toEqual(['one', 'three', 'two'])
  })

  it('refuses with nothing written what is not the same any more, and what cannot be read twice', async () => {
    const { dir, file } = place({ 'a.ndjson': lines(100), 'b.ndjson': lines(100), 'c.ndjson': '1\n2' })
    const both = [file('a.ndjson'), file('b.ndjson')]
    const run = (files: string[], options: IngestOptions = {}) =>
      ingest({ files, topic: 't', dir, durability: 'os', partitions: 1, producers: 1, verify: false, ...options })
    const refused = async (what: string, files = both, options: IngestOptions = {}) => {
      const error = await run(files, { resume: true, ...options }).catch((cause) => cause)
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'resume' })
      expect(error.message).toContain(what)
    }
    await run(both)
    await run([file('c.ndjson')])
    await refused('key', both, { key: 'key' })
    await refused('formats', both, { format: 'json' })
    fs.appendFileSync(file('a.ndjson'), lines(1))
    await refused('a.ndjson is not the file')
    fs.writeFileSync(file('a.ndjson'), lines(100))
    fs.writeFileSync(file('b.ndjson'), lines(200, 1))
    await refused('b.ndjson is not the file')
    fs.writeFileSync(file('b.ndjson'), lines(100))
    fs.appendFileSync(file('c.ndjson'), '3\n')
    await refused('that line goes on now', [file('c.ndjson')])
    expect(await run(both, { resume: true })).toMatchObject({ records: 0, resumed: 200 })
    const journal = path.join(dir, 'default/t/ingest.json')
    fs.writeFileSync(journal, fs.readFileSync(journal, 'utf8').replace('"streams":', '"streams": 1'))
    await expect(run(both, { resume: true })).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT', file: journal })
    expect(await run(both)).toMatchObject({ records: 200, resumed: 0 })
    const { code, stderr } = await walrus(['ingest', '-', '--resume', '--dir', dir])
    expect([code, stderr]).toEqual([2, expect.stringContaining('only files')])
  })
})
