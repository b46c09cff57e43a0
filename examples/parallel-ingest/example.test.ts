import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('every record of every thread is followed in order', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL('./main.js', import.meta.url))])
  expect(stdout).toMatch(/the follower saw ([\d,]+) records, each sensor's in order/)
})
