import path from 'node:path'
import { expect, it } from 'vitest'
import { BoundedFileSystem } from '#core/storage/bounded-file-system.js'
import type { OpenFile } from '#core/storage/file-system.js'
import { append, openPartition, readRecords } from '../support/partition.js'
import { check, fc } from '../support/property.js'
import { SimulatedDisk } from '../support/simulated-disk.js'

/** Counts the descriptors that are open, and the most that ever were. */
class CountingFileSystem extends SimulatedDisk {
  opened = 0
  most = 0

  override open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    const inner = super.open(file, mode)
    this.most = Math.max(this.most, ++this.opened)
    const close = inner.close.bind(inner)
    inner.close = () => {
      this.opened--
      close()
    }
    return inner
  }
}

it('files behave as if all of them were open, and never more than the limit are', () => {
  const action = fc.record({
    file: fc.nat(5),
    kind: fc.constantFrom('write', 'writeMany', 'read', 'size', 'truncate', 'sync', 'close'),
    value: fc.nat(255),
  })
  check(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.array(action, { maxLength: 60 })), ([limit, actions]) => {
    const directory = '/disk'
    const counting = new CountingFileSystem()
    counting.makeDirectory(directory)
    const bounded = new BoundedFileSystem(counting, limit)
    const files = new Map<number, OpenFile>()
    const model = new Map<number, number[]>()
    for (const { file, kind, value } of actions) {
      const name = path.join(directory, String(file))
      const bytes = model.get(file) ?? []
      let open = files.get(file)
      if (open === undefined) open = bounded.open(name, model.has(file) ? 'write' : 'create')
      files.set(file, open)
      model.set(file, bytes)
      if (kind === 'write') open.write(Uint8Array.of(value), 0, 1, bytes.length)
      if (kind === 'writeMany') open.writeMany([Uint8Array.of(value)], bytes.length)
      if (kind === 'write' || kind === 'writeMany') bytes.push(value)
      if (kind === 'truncate') {
        bytes.splice(value % 4)
        open.truncate(bytes.length)
      }
      if (kind === 'sync') open.sync()
      const read = new Uint8Array(bytes.length + 1)
      if (kind === 'read') expect([...read.subarray(0, open.read(read, 0, read.length, 0))]).toEqual(bytes)
      if (kind === 'close') {
        open.close()
        files.delete(file)
      } else expect(open.size()).toBe(bytes.length)
      expect(counting.opened).toBeLessThanOrEqual(limit)
    }
    for (const file of files.values()) file.close()
    expect(counting.opened).toBe(0)
  })
})

it('a hundred partitions take writes in turns on eight descriptors', () => {
  const root = '/disk'
  const counting = new CountingFileSystem()
  const bounded = new BoundedFileSystem(counting, 8)
  const logs = Array.from({ length: 100 }, (_none, index) =>
    openPartition(path.join(root, String(index)), { fs: bounded, segmentEntries: 2, segmentBytes: 4096 }),
  )
  for (const value of ['a', 'b', 'c']) for (const log of logs) append(log, value)
  for (const log of logs) {
    log.sync()
    const records = readRecords(log.directory, 0, log.offsetNext, { fs: bounded })
    expect(records.map(({ value }) => value)).toEqual(['a', 'b', 'c'])
    log.close()
  }
  expect(counting.most).toBeLessThanOrEqual(8)
  expect(counting.opened).toBe(0)
})
