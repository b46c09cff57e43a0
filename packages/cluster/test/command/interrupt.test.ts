import { Walrus } from '@walrus-log/actors'
import { describe, expect, it } from 'vitest'
import { ECHO_MS, Interrupts } from '#cluster/command/interrupts.js'
import type { IngestSummary } from '#cluster/index.js'
import { temporaryDirectory } from '../support/temporary.js'
import { startWalrus } from '../support/walrus-command.js'

/** The numbers from 0 on, a line each, for as long as somebody takes them. */
function countInto(stream: NodeJS.WritableStream): { stop(): void } {
  let next = 0
  let isStopped = false
  const write = () => {
    while (!isStopped) {
      const lines = Array.from({ length: 1000 }, () => `${next++}\n`)
      if (!stream.write(lines.join(''))) break
    }
  }
  stream.on('drain', write)
  write()
  return {
    stop() {
      isStopped = true
    },
  }
}

async function numbersIn(dir: string): Promise<number[]> {
  const walrus = await Walrus.open(dir)
  try {
    const numbers: number[] = []
    for await (const batch of (await walrus.topic<number>('stdin')).read())
      for (const { value } of batch) numbers.push(value)
    return numbers
  } finally {
    await walrus.close()
  }
}

it.each(['SIGINT', 'SIGTERM'] as const)('%s ends a run with everything acknowledged that was sent', async (signal) => {
  const dir = temporaryDirectory()
  const options = ['--format', 'ndjson', '--producers', '1', '--partitions', '1', '--json', '--dir', dir]
  const { child, told, ended } = startWalrus(['ingest', '-', ...options])
  const source = countInto(child.stdin!)
  await told(/ingest: [1-9]/)
  child.kill(signal)
  const { code, stdout, stderr } = await ended
  source.stop()
  const summary: IngestSummary = JSON.parse(stdout)
  expect(code).toBe(130)
  expect(summary).toMatchObject({ interrupted: true, verified: false, rejected: 0 })
  expect(stderr).toMatch(/interrupted: [\d,]+ records acknowledged; [\d,]+ lines \([\d,]+ bytes\) of <stdin> read/)
  // One producer and one partition: what is there is the beginning of the source, whole and in order.
  const numbers = await numbersIn(dir)
  expect(numbers.length).toBe(summary.records)
  expect(numbers.length).toBeGreaterThan(0)
  expect(numbers.every((number, index) => number === index)).toBe(true)
  expect(summary.position).toMatchObject({ file: '<stdin>', line: numbers.length })
})

it('a source that gives nothing for a while keeps no record waiting, nor an interrupt', async () => {
  const dir = temporaryDirectory()
  const { child, told, ended } = startWalrus(['ingest', '-', '--format', 'ndjson', '--json', '--dir', dir])
  child.stdin!.write('1\n2\n{"an unfinished":')
  await told(/ingest: 2 records/)
  child.kill('SIGINT')
  const { code, stdout } = await ended
  expect(code).toBe(130)
  expect(JSON.parse(stdout)).toMatchObject({
    interrupted: true,
    records: 2,
    rejected: 0,
    position: { line: 2, byte: 4 },
  })
  expect((await numbersIn(dir)).sort()).toEqual([1, 2])
})

describe('Ctrl-C', () => {
  it('counts once, however many processes pass it on, and a later one means at once', () => {
    const interrupts = new Interrupts()
    expect([5000, 5000, 5003, 5000 + ECHO_MS - 1].map((nowMs) => interrupts.take(nowMs))).toEqual([
      'stop',
      'echo',
      'echo',
      'echo',
    ])
    expect(interrupts.take(5000 + ECHO_MS)).toBe('now')
  })

  // The command is started by a process as npm starts the start script, and that one the command.
  it.each([
    ['the whole process group', (pid: number) => process.kill(-pid, 'SIGINT')],
    ['the outermost process alone', (pid: number) => process.kill(pid, 'SIGINT')],
  ])('without a terminal, to %s, ends a run with its report', async (_, interrupt) => {
    const dir = temporaryDirectory()
    const options = ['--format', 'ndjson', '--json', '--dir', dir]
    const { child, told, ended } = startWalrus(['ingest', '-', ...options], { launchersCount: 2 })
    const source = countInto(child.stdin!)
    await told(/ingest: [1-9]/)
    interrupt(child.pid!)
    const { code, stdout, stderr } = await ended
    source.stop()
    const summary: IngestSummary = JSON.parse(stdout)
    expect(code).toBe(130)
    expect(summary).toMatchObject({ interrupted: true, rejected: 0 })
    expect(stderr).toContain('interrupted: ')
    expect(await numbersIn(dir)).toHaveLength(summary.records)
  })

  it('before the first record leaves no table of zeros', async () => {
    const { child, told, ended } = startWalrus(['ingest', '-', '--format', 'ndjson', '--dir', temporaryDirectory()])
    await told('<stdin> (ndjson)')
    child.kill('SIGINT')
    const { code, stdout, stderr } = await ended
    expect([code, stdout]).toEqual([130, ''])
    expect(stderr).toContain('interrupted: 0 records acknowledged; nothing read')
  })
})
