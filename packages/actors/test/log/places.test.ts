import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory, workerUrl } from './fixture.js'

/** Whether a test may mount a small disk of its own. */
const canMount =
  process.platform === 'linux' && spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0

/** Runs the program of the zoo, which has to end by itself and without a word on standard error. */
async function outcomeIn(what: 'full' | 'read-only' | 'gone'): Promise<Record<string, unknown>> {
  const script = fileURLToPath(workerUrl('places'))
  const argument = JSON.stringify({ place: temporaryDirectory(), what })
  const command = what === 'gone' ? [process.execPath] : ['unshare', '-rm', process.execPath]
  const child = spawn(command[0], [...command.slice(1), script, argument], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [said, complained] = ['', '']
  child.stdout.on('data', (data) => {
    said += data
  })
  child.stderr.on('data', (data) => {
    complained += data
  })
  const [code] = await once(child, 'close')
  expect([code, complained]).toEqual([0, ''])
  return JSON.parse(said)
}

describe('a log in a place', () => {
  test.runIf(canMount)(
    'that is full refuses what does not fit, keeps the rest, and goes on when there is room',
    async () => {
      const { acknowledged, codes, keptAfter, ...whole } = await outcomeIn('full')
      expect(acknowledged).toBeGreaterThan(20)
      expect(keptAfter).toBeGreaterThan(30)
      expect(codes).toEqual(['DISK_FULL'])
      expect(whole).toEqual({ wasWhole: true, isWholeAfter: true, isWholeAgain: true })
    },
  )

  test.runIf(canMount)('that is read-only is not opened for writing, and stays as it is', async () => {
    const { code, isWholeAgain } = await outcomeIn('read-only')
    expect(code).toBe('EROFS')
    expect(isWholeAgain).toBe(true)
  })

  test('that vanishes refuses what it cannot keep, and can be closed', async () => {
    const { codes, readCode, topicsAfter } = await outcomeIn('gone')
    expect([codes, readCode, topicsAfter]).toEqual([['SEGMENT_POISONED'], 'ENOENT', 0])
  })
})
