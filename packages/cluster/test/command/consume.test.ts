import path from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { startWalrus, walrus } from '../support/walrus-command.js'

/** A log with the numbers from 0 to 9 in a topic of two partitions. */
async function logOfTen(): Promise<string> {
  const dir = path.join(temporaryDirectory(), 'data')
  const log = await Walrus.open(dir)
  const topic = await log.topic('t', { partitions: 2, codec: 'utf8' })
  for (let n = 0; n < 10; n++) await topic.producer({ partition: n % 2 }).append(String(n))
  await log.close()
  return dir
}

const linesOf = (text: string): string[] => text.split('\n').slice(0, -1)

describe('walrus read --group', () => {
  it('prints each record once to each group, however often it is called', async () => {
    const dir = await logOfTen()
    const read = async (...options: string[]) => {
      const { stdout, stderr } = await walrus(['read', 't', '--dir', dir, '--values', ...options])
      expect(stderr).toBe('')
      return linesOf(stdout)
    }
    const printed = [
      ...(await read('--group', 'g', '--limit', '3')),
      ...(await read('--group', 'g', '--limit', '4', '--checkpoint', '2')),
      ...(await read('--group', 'g')),
    ]
    expect(printed.sort()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    expect(await read('--group', 'g')).toEqual([])
    expect(await read('--group', 'other', '--from', 'end')).toEqual([])
    expect(await read('--group', 'other', '--from', 'start')).toEqual([])
    expect(await read()).toHaveLength(10)
  })

  it('counts what was printed as handled when it is interrupted, and stats tell of it', async () => {
    const dir = await logOfTen()
    const { child, ended } = startWalrus(['read', 't', '--dir', dir, '--group', 'g', '--follow', '--values'])
    let text = ''
    await new Promise<void>((resolve) => {
      child.stdout!.on('data', (chunk) => {
        text += chunk
        if (linesOf(text).length === 10) resolve()
      })
    })
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ code: 130, stderr: '' })
    const { topics } = JSON.parse((await walrus(['stats', '--dir', dir, '--json'])).stdout)
    expect(topics[0].groups).toEqual([
      { group: 'g', members: 0, lag: 0, partitions: [0, 1].map((partition) => ({ partition, cursor: 5, lag: 0 })) },
    ])
    expect((await walrus(['stats', '--dir', dir])).stdout).toMatch(/t\s+│ g\s+│\s+1 │\s+5 │\s+0 │/)
  })

  it.each([
    ['a partition of its own', ['--partition', '0'], /--partition/],
    ['a name that is none', ['--group', 'a/b'], /^INVALID_ARGUMENT: group/],
    ['a checkpoint that is none', ['--checkpoint', '0'], /--checkpoint/],
  ])('refuses %s', async (_, options, message) => {
    const dir = await logOfTen()
    const { code, stdout, stderr } = await walrus(['read', 't', '--dir', dir, '--group', 'g', ...options])
    expect(stderr).toMatch(message)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })
})
