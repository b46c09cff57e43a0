import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { cutPartition } from '#core/log/cut-partition.js'
import { type RolledSegment, sealSegment } from '#core/segment/seal.js'
import { indexFileName, segmentFileName } from '#core/segment/segment-name.js'
import type { FileSystem } from '#core/storage/file-system.js'
import {
  append,
  appendSynced,
  openPartition,
  readValues,
  reopenedValues,
  segmentsAndIndexes,
} from '../support/partition.js'
import { freshPlace, temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem, recordingFileSystem } from '../support/traced-file-system.js'

/** Notes what the workload has a right to find again. */
interface Promises {
  synced: string[]
  appended: string[]
}

function appendTo(log: ReturnType<typeof openPartition>, promises: Promises, value: string): void {
  promises.appended.push(value)
  append(log, value)
}

function sync(log: ReturnType<typeof openPartition>, promises: Promises): void {
  log.sync()
  promises.synced = [...promises.appended]
  log.acknowledgedOffset = log.offsetNext
}

/** Appends, rolls, seals and reopens, several times over. */
function workload(fs: FileSystem, directory: string, promises: Promises): void {
  for (let round = 0; round < 3; round++) {
    const log = openPartition(directory, { fs, segmentEntries: 3 })
    for (let value = 0; value < 5; value++) {
      appendTo(log, promises, `${round}.${value}`)
      if (value % 2 === 0) sync(log, promises)
    }
    // As if killed, every other time: the reserve stays, and what recovery has to do differs.
    if (round % 2 === 0) log.abandon()
    else log.close()
  }
}

/** The same with segments that are sealed later, after several rolls, as by another thread. */
function workloadSealedLate(fs: FileSystem, directory: string, promises: Promises): void {
  const rolled: RolledSegment[] = []
  const log = openPartition(directory, { fs, segmentEntries: 2, onRolled: (segment) => rolled.push(segment) })
  for (let value = 0; value < 9; value++) {
    appendTo(log, promises, `${value}`)
    if (value % 4 !== 3) continue
    while (rolled.length > 0) {
      sealSegment(fs, directory, rolled[0], 0)
      rolled.shift()
    }
    sync(log, promises)
  }
  log.close()
}

/** The same with a failed write's consequences: everything behind the last sync is taken back. */
function workloadCut(fs: FileSystem, directory: string, promises: Promises): void {
  const log = openPartition(directory, { fs, segmentEntries: 3 })
  for (const value of ['a', 'b']) appendTo(log, promises, value)
  sync(log, promises)
  const durable = { baseOffset: log.openBaseOffset, position: log.positionWritten, offset: log.offsetNext }
  for (const value of ['c', 'd', 'e', 'f', 'g']) appendTo(log, promises, value)
  log.abandon()
  cutPartition(fs, directory, durable, 0)
  promises.appended = [...promises.synced]
  const again = openPartition(directory, { fs, segmentEntries: 3 })
  for (const value of ['C', 'D']) appendTo(again, promises, value)
  sync(again, promises)
  again.close()
}

describe('a process that dies before any of its calls to the file system', () => {
  const workloads = { workload, workloadSealedLate, workloadCut }

  it.each(Object.entries(workloads))('leaves what opens strictly, whole and in order (%s)', (name, run) => {
    const root = temporaryDirectory()
    for (let fatal = 1; ; fatal++) {
      const directory = freshPlace(root)
      const { fs: dying, hasDied } = dyingFileSystem(fatal)
      const promises: Promises = { synced: [], appended: [] }
      let failure: unknown
      try {
        run(dying, directory, promises)
      } catch (error) {
        failure = error
      }
      const values = reopenedValues(directory)
      const what = `${name}, died before call ${fatal}`
      expect(values.slice(0, promises.synced.length), what).toEqual(promises.synced)
      if (name !== 'workloadCut') expect(values, what).toEqual(promises.appended.slice(0, values.length))
      expect(new Set(values).size, what).toBe(values.length)
      expect(reopenedValues(directory), `${what}, opened again`).toEqual(values)
      if (!hasDied()) {
        expect(failure).toBeUndefined()
        expect(values).toEqual(promises.appended)
        expect(fatal).toBeGreaterThan(20)
        break
      }
      expect(failure).toMatchObject({ code: 'EIO' })
    }
  })

  it('in the middle of a recovery, at any call, leaves it to be done again with the same result', () => {
    const root = temporaryDirectory()
    const make = (): string => {
      const directory = freshPlace(root)
      const log = openPartition(directory, { segmentEntries: 2, onRolled: () => {} })
      for (const value of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) append(log, value)
      log.abandon()
      // A torn tail in the second of four segments that nobody sealed, and an index that was being written.
      fs.writeFileSync(path.join(directory, `${indexFileName(0)}.tmp`), 'half an ind')
      fs.truncateSync(path.join(directory, segmentFileName(2)), 64 + 120 + 50)
      return directory
    }
    for (let fatal = 1; ; fatal++) {
      const directory = make()
      const { fs: dying, hasDied } = dyingFileSystem(fatal)
      try {
        openPartition(directory, { fs: dying }).abandon()
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      expect(reopenedValues(directory), `died before call ${fatal}`).toEqual(['a', 'b', 'c'])
      expect(segmentsAndIndexes(directory)).toEqual([indexFileName(0), segmentFileName(0), segmentFileName(2)])
      if (!hasDied()) break
      expect(fatal).toBeLessThan(100)
    }
  })
})

describe('the order of calls', () => {
  it('makes a segment durable before its index, the index before its name, the name before anything is built on it', () => {
    const { fs: recording, calls } = recordingFileSystem()
    const directory = path.join(temporaryDirectory(), '0')
    const log = openPartition(directory, { fs: recording, segmentEntries: 1 })
    appendSynced(log, 'a')
    append(log, 'b')
    log.sync()
    log.close()
    const [first, index, second] = [segmentFileName(0), indexFileName(0), segmentFileName(1)]
    expect(calls).toEqual([
      'makeDirectory 0',
      // Whoever had the directory before may have removed what was in it.
      'syncDirectory 0',
      'create partition.state.tmp',
      'write partition.state.tmp',
      'sync partition.state.tmp',
      'rename partition.state',
      'syncDirectory 0',
      `create ${first}`,
      `truncate ${first}`,
      `write ${first}`,
      `write ${first}`,
      `sync ${first}`,
      'syncDirectory 0',
      `truncate ${first}`,
      `sync ${first}`,
      'syncDirectory 0',
      `create ${index}.tmp`,
      `write ${index}.tmp`,
      `sync ${index}.tmp`,
      `rename ${index}`,
      'syncDirectory 0',
      `create ${second}`,
      `truncate ${second}`,
      `write ${second}`,
      `write ${second}`,
      `sync ${second}`,
      'syncDirectory 0',
      `truncate ${second}`,
    ])
  })

  it('syncs what a recovery keeps, and the directory, before anything is appended', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory)
    append(log, 'a')
    log.abandon()
    const { fs: recording, calls } = recordingFileSystem()
    const again = openPartition(directory, { fs: recording })
    const name = path.basename(directory)
    // Header and batch are written once more: an earlier sync may have failed, and left pages that only look clean.
    const [rewritten, synced] = [`write ${segmentFileName(0)}`, `sync ${segmentFileName(0)}`]
    expect(calls).toEqual([`makeDirectory ${name}`, rewritten, rewritten, synced, `syncDirectory ${name}`])
    expect(readValues(directory, again)).toEqual(['a'])
    again.close()
  })
})
