import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { encodeIndex } from '#core/format/index-file.js'
import { TopicStore } from '#core/log/topic-store.js'
import { loadIndex } from '#core/segment/seal.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import type { OpenFile } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { append, openPartition } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

/** Counts what an open asks of the disk. */
class CountingFileSystem extends NodeFileSystem {
  calls = 0
  bytesRead = 0
  opened = new Set<string>()

  override open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    this.calls++
    this.opened.add(path.basename(path.dirname(file)))
    const inner = super.open(file, mode)
    const read = inner.read.bind(inner)
    inner.read = (target, offset, length, position) => {
      this.calls++
      const count = read(target, offset, length, position)
      this.bytesRead += count
      return count
    }
    return inner
  }

  override exists(file: string): boolean {
    this.calls++
    return super.exists(file)
  }

  override list(directory: string): string[] {
    this.calls++
    return super.list(directory)
  }
}

/** A namespace of so many topics, without the time that a disk takes to make them. */
class TopicsInMemory extends CountingFileSystem {
  readonly #names: string[]

  constructor(topics: number) {
    super()
    this.#names = Array.from({ length: topics }, (_none, topic) => `t${topic}`)
  }

  override open(file: string): OpenFile {
    this.calls++
    this.opened.add(path.basename(path.dirname(file)))
    const settings = { partitions: 1, codec: 'bytes', durability: 'os', segmentBytes: 4096, segmentEntries: 5 }
    const bytes = Buffer.from(JSON.stringify({ version: 1, createdMs: 0, ...settings }))
    return {
      read: (target: Uint8Array) => bytes.copy(target),
      size: () => bytes.length,
      close() {},
    } as unknown as OpenFile
  }

  override exists(): boolean {
    this.calls++
    return true
  }

  override list(): string[] {
    this.calls++
    return this.#names
  }
}

/** Copies of one sealed segment, each in a file of half a gigabyte that takes no room; behind them an unsealed tail. */
function sparsePartition(segments: number): string {
  const directory = path.join(temporaryDirectory(), '0')
  const log = openPartition(directory, { segmentEntries: 1 })
  for (let segment = 0; segment <= segments; segment++) append(log, `${segment}`)
  log.abandon()
  for (let base = 0; base < segments - 1; base++) {
    const file = path.join(directory, segmentFileName(base))
    fs.truncateSync(file, 512 * 1024 * 1024)
    const index = loadIndex(new NodeFileSystem(), directory, base)!
    fs.writeFileSync(path.join(directory, indexFileName(base)), encodeIndex({ ...index, dataBytes: 512 * 1024 * 1024 }))
  }
  return directory
}

it('the cost of an open follows the unsealed tail, not the data: 20 GB as 2 GB', () => {
  const costs = [4, 40].map((segments) => {
    const directory = sparsePartition(segments)
    const counting = new CountingFileSystem()
    const log = openPartition(directory, { fs: counting })
    expect(log.offsetNext).toBe(segments + 1)
    log.close()
    return { calls: counting.calls, bytesRead: counting.bytesRead }
  })
  expect(costs[1]).toEqual(costs[0])
})

it('a namespace is opened without a look at its topics, and listed with one at each', () => {
  const directory = '/data/default'
  const topics = 10_000
  const counting = new TopicsInMemory(topics)
  const store = new TopicStore(counting, directory)
  store.finishDeletions()
  expect([counting.calls, counting.opened.size]).toEqual([2, 0])
  expect(store.list()).toHaveLength(topics)
  expect(counting.opened.size).toBe(topics)
  expect(counting.calls).toBeLessThan(5 * topics)
})
