import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { cutPartition } from '#core/log/cut-partition.js'
import type { PartitionLog } from '#core/log/partition-log.js'
import { type RolledSegment, sealSegment } from '#core/segment/seal.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { append, openPartition, reopenedValues, segmentsAndIndexes } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

const point = (log: PartitionLog) => ({
  baseOffset: log.openBaseOffset,
  position: log.positionWritten,
  offset: log.offsetNext,
})
const cut = (directory: string, durable: ReturnType<typeof point>) =>
  cutPartition(new NodeFileSystem(), directory, durable, 0)

describe('cutting a partition', () => {
  it('takes back everything behind any durable point, and the log goes on in a new segment', () => {
    for (let keep = 0; keep <= 9; keep++) {
      const directory = temporaryDirectory()
      const log = openPartition(directory, { segmentEntries: 4, onRolled: () => {} })
      let durable = point(log)
      for (let value = 0; value < 9; value++) {
        append(log, `v${value}`)
        if (value + 1 === keep) durable = point(log)
      }
      log.abandon()
      cut(directory, durable)
      const kept = Array.from({ length: keep }, (_, value) => `v${value}`)
      expect(fs.existsSync(directory) && fs.readdirSync(directory).every((name) => !name.endsWith('.tmp'))).toBe(true)
      const again = openPartition(directory)
      expect(again.offsetNext).toBe(keep)
      append(again, 'after')
      expect(again.openBaseOffset).toBe(keep)
      again.close()
      expect(reopenedValues(directory)).toEqual([...kept, 'after'])
    }
  })

  it('takes back the seal too of a segment that was sealed in the background beyond the durable point', () => {
    const directory = temporaryDirectory()
    const rolled: RolledSegment[] = []
    const log = openPartition(directory, { segmentEntries: 3, onRolled: (segment) => rolled.push(segment) })
    append(log, 'a')
    const durable = point(log)
    for (const value of ['b', 'c', 'd']) append(log, value)
    log.abandon()
    sealSegment(new NodeFileSystem(), directory, rolled[0], 0)
    cut(directory, durable)
    expect(reopenedValues(directory)).toEqual(['a'])
    expect(segmentsAndIndexes(directory)).toEqual([indexFileName(0), segmentFileName(0)])
  })

  it('leaves a segment alone that was sealed at the durable point', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 2 })
    for (const value of ['a', 'b', 'c']) append(log, value)
    log.abandon()
    const before = fs.readFileSync(`${directory}/${indexFileName(0)}`)
    cut(directory, { baseOffset: 2, position: 64, offset: 2 })
    expect(fs.readFileSync(`${directory}/${indexFileName(0)}`)).toEqual(before)
    expect(reopenedValues(directory)).toEqual(['a', 'b'])
    cut(directory, { baseOffset: 0, position: 64 + 240, offset: 2 })
    expect(reopenedValues(directory)).toEqual(['a', 'b'])
  })

  it('gives the same when it is done twice', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentEntries: 2 })
    append(log, 'a')
    const durable = point(log)
    for (const value of ['b', 'c', 'd', 'e']) append(log, value)
    log.abandon()
    cut(directory, durable)
    cut(directory, durable)
    expect(reopenedValues(directory)).toEqual(['a'])
  })

  it('refuses a durable point that the file does not reach', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentBytes: 4096 })
    append(log, 'a')
    log.close()
    expect(() => cut(directory, { baseOffset: 0, position: 64 + 240, offset: 2 })).toThrow(/SEGMENT_CORRUPT/)
  })
})
