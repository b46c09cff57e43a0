import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Watermark } from '#core/format/watermarks-file.js'
import type { PartitionLog, PartitionLogOptions } from '#core/log/partition-log.js'
import { findReadable, type ReadableOptions } from '#core/log/readable-end.js'
import { segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { append, appendSynced, openPartition } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

const SMALL: Partial<PartitionLogOptions> = { segmentBytes: 4096 }

function watermarkOf(log: PartitionLog, offset = log.offsetNext): Watermark {
  const { openBaseOffset: baseOffset, positionWritten: position, leaseEpoch } = log
  return { offset, baseOffset, position, offsetFirst: log.offsetFirst, leaseEpoch, opening: 1 }
}

const readable = (directory: string, watermark?: Watermark, options: Partial<ReadableOptions> = {}) =>
  findReadable({ fs: new NodeFileSystem(), directory, partition: 0, watermark, isLive: false, skip: false, ...options })

describe('without a living writer', () => {
  test('all that is below the watermark may be read, and nothing that is behind it', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, 'a', 'b')
    const watermark = watermarkOf(log)
    append(log, 'c')
    log.abandon()
    expect(readable(directory, watermark)).toMatchObject({
      offsetFirst: 0,
      offset: 2,
      baseOffset: 0,
      position: watermark.position,
    })
  })

  test('the records end where a loss of power has torn them, whatever the watermark says', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, 'a')
    const { positionWritten } = log
    append(log, 'b')
    append(log, 'c')
    const watermark = watermarkOf(log)
    log.abandon()
    const file = path.join(directory, segmentFileName(0))
    const image = fs.readFileSync(file)
    // The disk has kept a later page, and not this one.
    fs.writeFileSync(file, image.fill(0, positionWritten, positionWritten + 200))
    expect(readable(directory, watermark)).toMatchObject({ offset: 1, position: positionWritten })
    fs.truncateSync(file, positionWritten + 100)
    expect(readable(directory, watermark)).toMatchObject({ offset: 1, position: positionWritten })
  })

  test('a watermark that is older than the batches vouches for none of a later epoch', () => {
    const directory = temporaryDirectory()
    const first = openPartition(directory)
    append(first, 'a')
    append(first, 'b')
    const stale = { ...watermarkOf(first), offset: 10 }
    first.abandon()
    const second = openPartition(directory)
    // What the second writer wrote here, nobody has said to be acknowledged.
    append(second, 'c')
    expect(second.leaseEpoch).toBeGreaterThan(stale.leaseEpoch)
    second.abandon()
    expect(readable(directory, stale)).toMatchObject({ offset: 2 })
  })

  test('what a later batch knows as acknowledged is so, also where the watermark is behind', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    const watermark = watermarkOf(log)
    appendSynced(log, 'a')
    appendSynced(log, 'b')
    append(log, 'c')
    append(log, 'd')
    log.abandon()
    expect(readable(directory, watermark)).toMatchObject({ offset: 2 })
  })

  test('without a watermark all counts that the next opening would have', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, 'a')
    append(log, 'b')
    log.abandon()
    fs.appendFileSync(path.join(directory, segmentFileName(0)), 'torn')
    expect(readable(directory)).toMatchObject({ offset: 2 })
    expect(openPartition(directory).offsetNext).toBe(2)
  })

  test('sealed segments count by their indexes, and end at the watermark all the same', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, SMALL)
    let early: Watermark | undefined
    for (let n = 0; n < 10; n++) {
      append(log, 'x'.repeat(1500))
      if (n === 4) early = watermarkOf(log)
    }
    const end = watermarkOf(log)
    log.close()
    expect(fs.readdirSync(directory).filter((name) => name.endsWith('.index')).length).toBeGreaterThan(2)
    expect(readable(directory, end)).toMatchObject({ offset: 10 })
    expect(readable(directory)).toMatchObject({ offset: 10 })
    expect(readable(directory, early)).toMatchObject({ offset: 5 })
    // A watermark of the disk's past that a later one has replaced: stamps speak for those that nobody vouches for.
    expect(readable(directory, { ...end, offset: 0, leaseEpoch: 0 }).offset).toBeLessThan(10)
  })

  test('a partition that is not there, or empty, has nothing', () => {
    const directory = temporaryDirectory()
    expect(readable(path.join(directory, 'nowhere'))).toMatchObject({ offsetFirst: 0, offset: 0 })
    expect(readable(directory)).toMatchObject({ offsetFirst: 0, offset: 0 })
  })
})

test("a living writer's word holds without a look at the files", () => {
  const directory = temporaryDirectory()
  const log = openPartition(directory)
  append(log, 'a')
  const watermark = watermarkOf(log)
  expect(readable(directory, watermark, { isLive: true })).toMatchObject(watermark)
  log.close()
})
