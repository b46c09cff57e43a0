import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('every flight is counted once', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL('./main.js', import.meta.url))])
  const counts = [...stdout.matchAll(/: (\d+) flights were late/g)].map(([, count]) => Number(count))
  expect(counts).toHaveLength(4)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(170_000)
})
