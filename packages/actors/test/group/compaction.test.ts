import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { openLog, sendAll, temporaryDirectory } from '../log/fixture.js'

const GROUPS = 40
const RECORDS = 1000

test('tens of thousands of commits leave a small log, in which every group finds its place', async () => {
  const directory = temporaryDirectory()
  const walrus = await openLog(directory)
  const topic = await walrus.topic<string>('t', { codec: 'utf8', partitions: 1 })
  const producer = topic.producer()
  await sendAll(
    producer,
    Array.from({ length: RECORDS }, (_none, index) => String(index)),
  )
  await producer.flush()
  const cursors = path.join(directory, 'default', '__cursors', '0')
  const sizes: number[] = []
  await Promise.all(
    Array.from({ length: GROUPS }, async (_none, group) => {
      let seen = 0
      for await (const { value } of topic.consumer(`g${group}`)) {
        expect(value).toBe(String(seen++))
        if (group === 0 && seen % 50 === 0) sizes.push(bytesOf(cursors))
        if (seen === RECORDS - group) break
      }
    }),
  )
  await walrus.close()
  // Each commit takes some 170 bytes: all of them would be 6.8 MB.
  expect(Math.max(...sizes, bytesOf(cursors))).toBeLessThan(5 << 20)
  expect(firstOffset(cursors)).toBeGreaterThan(16_384)
  const again = await (await openLog(directory)).topic('t')
  const lags = new Map((await again.stats()).groups.map(({ group, lag }) => [group, lag]))
  expect(lags).toEqual(new Map(Array.from({ length: GROUPS }, (_none, group) => [`g${group}`, group])))
})

function bytesOf(directory: string): number {
  let bytes = 0
  for (const name of fs.readdirSync(directory)) {
    // Files come and go.
    bytes += fs.statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? 0
  }
  return bytes
}

function firstOffset(directory: string): number {
  return Math.min(
    ...fs
      .readdirSync(directory)
      .filter((name) => name.endsWith('.log'))
      .map((name) => Number.parseInt(name, 10)),
  )
}
