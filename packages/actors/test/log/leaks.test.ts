import { expect, test } from 'vitest'
import { runProcess, temporaryDirectory } from './fixture.js'

interface Held {
  heap: number
  rss: number
  descriptors: number
  threads: number
  listeners: number
  resources: number
}
type Message = { part: string; times: number; before: Held; after: Held } | { part: 'end'; warnings: string[] }

/** `WALRUS_TEST_LEAKS=200 npx vitest run <file>` opens as many logs, and ten times as many of everything else. */
const OPENS = Number(process.env['WALRUS_TEST_LEAKS'] ?? 5)

/** What a thing that was opened and closed may leave on the heap, by what garbage is collected when: far less than it is. */
const HEAP_BYTES_MAX = 2048
/** A log's own memory is some MB, which the system has back when it pleases. */
const HEAP_BYTES_MAX_OF_LOG = 500_000
/** A reader has a window of 1 MiB: it shows where these are not used again. */
const RSS_BYTES_MAX = 100 * 1024 * 1024
/** Threads of the pool keep some files of each partition open for a few seconds. */
const DESCRIPTORS_MAX = 64

test('what is opened and closed, many times over, leaves nothing behind', async () => {
  const argument = { directory: temporaryDirectory(), opens: OPENS, rounds: OPENS * 20 }
  const { messages, code } = await runProcess<Message>('leaks', argument, ['--expose-gc'])
  expect(code).toBe(0)
  for (const message of messages) {
    if (!('before' in message)) {
      // More listeners than there may be would be one.
      expect(message.warnings).toEqual([])
      continue
    }
    const { part, times, before, after } = message
    const isWhole = ['log', 'attachment', 'topic'].includes(part)
    const heapMax = isWhole ? HEAP_BYTES_MAX_OF_LOG : HEAP_BYTES_MAX
    expect([part, Math.max((after.heap - before.heap) / times, 0)]).toEqual([
      part,
      expect.toSatisfy((bytes) => bytes < heapMax),
    ])
    if (!isWhole)
      expect([part, after.rss - before.rss]).toEqual([part, expect.toSatisfy((bytes) => bytes < RSS_BYTES_MAX)])
    expect([part, after.descriptors - before.descriptors]).toEqual([
      part,
      expect.toSatisfy((count) => count <= DESCRIPTORS_MAX),
    ])
    // Fewer is no leak: what ended just then was still counted before.
    for (const kind of ['listeners', 'resources'] as const)
      expect([part, kind, after[kind]]).toEqual([part, kind, expect.toSatisfy((count) => count <= before[kind])])
    expect([part, after.threads]).toEqual([part, expect.toSatisfy((count) => count <= before.threads + 4)])
  }
  expect(messages.at(-1)).toMatchObject({ part: 'end' })
}, 300_000)
