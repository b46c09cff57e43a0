import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const run = promisify(execFile)

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'walrus-bench-test-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const bench = (...words: string[]) => run(process.execPath, [MAIN, '--dir', directory, ...words])

describe('npm run bench', () => {
  it('prints one object of figures on standard output, and leaves no file', async () => {
    const { stdout } = await bench('--json', '--rounds', '2', '--scale', '0.004', '--only', 'os-100', 'disk-bytes')
    const { figures } = JSON.parse(stdout)
    expect(figures.map(({ name }: { name: string }) => name)).toEqual([
      'os-100/records',
      'disk-bytes/16',
      'disk-bytes/100',
      'disk-bytes/727',
    ])
    expect(figures[0]).toMatchObject({
      unit: 'records/s',
      against: 'a pwrite per record',
      target: 8,
      bound: '>=',
      on: 'ratio',
    })
    for (const figure of figures) {
      expect(figure.value).toBeGreaterThan(0)
      expect(figure.ratio).toBeGreaterThan(0)
      const [least, most] = figure.spread
      expect(least).toBeLessThanOrEqual(figure.ratio)
      expect(most).toBeGreaterThanOrEqual(figure.ratio)
      expect(figure.reached).toBe(figure.target === null ? null : figure.ratio >= figure.target)
    }
    // 16 bytes have a header of 16, and a share of the batch's.
    expect(figures[1].value).toBeGreaterThanOrEqual(32)
    expect(await readdir(directory)).toEqual([])
  })

  it('says where the time of each thread goes', async () => {
    const { stdout } = await bench('--profile', 'os-100', '--scale', '0.004')
    expect(stdout).toMatch(/walrus-writer-0: [\d.]+ s\n/)
    expect(stdout).toMatch(/produceInThread: [\d.]+ s\n/)
    expect(stdout).toMatch(/main thread: [\d.]+ s\n/)
  })

  it('refuses a case that there is none of, with the names of those there are', async () => {
    await expect(bench('--only', 'nonsense')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('os-727'),
    })
  })
})
