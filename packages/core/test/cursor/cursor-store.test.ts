import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CursorEntry, CursorTable, encodeCursor } from '#core/cursor/cursor.js'
import { cursorCopies, readCursorLog, trimCursorLog } from '#core/cursor/cursor-store.js'
import { encodeBatch } from '#core/format/batch-encoder.js'
import type { PartitionLog } from '#core/log/partition-log.js'
import { segmentBases } from '#core/segment/segment-name.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { openPartition } from '../support/partition.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { freshPlace, temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem } from '../support/traced-file-system.js'

const SEGMENT_BYTES = 4096
const GROUPS = 3

/** A cursor log, and what was promised of it: the offset that each group committed last, and the one it tried last. */
class Story {
  readonly promised = new Map<string, number>()
  readonly tried = new Map<string, number>()
  readonly #fs: FileSystem
  readonly #log: PartitionLog
  readonly #table = new CursorTable()
  #readTo: number | undefined

  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs
    this.#log = openPartition(directory, { fs, segmentBytes: SEGMENT_BYTES })
  }

  commit(group: string, offset: number): void {
    this.tried.set(group, offset)
    this.#append([encodeCursor(keyed({ group, offset }))])
    this.promised.set(group, offset)
  }

  /** As the host does it; `during` is what consumers commit meanwhile. */
  compact(during: () => void = () => {}): void {
    const end = this.#log.offsetNext
    readCursorLog(this.#fs, this.#log.directory, { from: this.#readTo, end }, this.#table)
    this.#readTo = end
    during()
    this.#append(cursorCopies(this.#table).map((entry) => encodeCursor(entry, entry.version)))
    trimCursorLog(this.#fs, this.#log.directory, end)
  }

  close(): void {
    this.#log.close()
  }

  #append(values: Uint8Array[]): void {
    if (values.length === 0) return
    const { region } = encodeBatch(
      values.map((value) => ({ value })),
      { producerId: 1, producerEpoch: 0, sequenceFirst: 0, timestampMs: 0 },
    )
    this.#log.appendBatch(region, 0)
    this.#log.sync()
    this.#log.acknowledgedOffset = this.#log.offsetNext
  }
}

function keyed({ group, offset }: { group: string; offset: number }): Omit<CursorEntry, 'version'> {
  return { group, topic: 't', createdMs: 1, partition: 0, generation: 1, offset }
}

/** What a later open finds; the log opens strictly. */
function found(fs: FileSystem, directory: string): Map<string, number> {
  const log = openPartition(directory, { fs, segmentBytes: SEGMENT_BYTES })
  const table = new CursorTable()
  readCursorLog(fs, directory, { from: undefined, end: log.offsetNext }, table)
  log.close()
  return new Map([...table.entries()].map(({ group, offset }) => [group, offset]))
}

/** Commits over several segments and compactions, with commits of others in the middle of these. */
function workload(story: Story): void {
  for (let commit = 0; commit < 60; commit++) {
    story.commit(`g${commit % GROUPS}`, commit)
    if (commit % 25 === 24) story.compact(() => story.commit('g0', 1000 + commit))
  }
  story.close()
}

function expectPromises(story: Story | undefined, cursors: Map<string, number>, what: string): void {
  for (const [group, offset] of story?.promised ?? []) {
    // What was being written when it died may be there or not.
    expect([offset, story!.tried.get(group)], `${group}, ${what}`).toContain(cursors.get(group))
  }
}

describe('a cursor log', () => {
  it('keeps what was committed and stays short, however many commits there were', () => {
    const root = temporaryDirectory()
    const fs = new NodeFileSystem()
    const sizes = [100, 1000].map((commits) => {
      const directory = freshPlace(root)
      const story = new Story(fs, directory)
      for (let commit = 0; commit < commits; commit++) {
        story.commit(`g${commit % GROUPS}`, commit)
        if (commit % 25 === 24) story.compact()
      }
      story.close()
      expect(found(fs, directory)).toEqual(story.promised)
      return segmentBases(fs.list(directory)).length
    })
    expect(Math.max(...sizes)).toBeLessThanOrEqual(3)
  })

  it('loses no commit to a process that dies before any of its calls to the file system', () => {
    const root = temporaryDirectory()
    const fs = new NodeFileSystem()
    for (let fatal = 1; ; fatal++) {
      const directory = freshPlace(root)
      const { fs: dying, hasDied } = dyingFileSystem(fatal)
      let story: Story | undefined
      try {
        story = new Story(dying, directory)
        workload(story)
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      const cursors = found(fs, directory)
      expectPromises(story, cursors, `died before call ${fatal}`)
      expect(found(fs, directory), `died before call ${fatal}, opened again`).toEqual(cursors)
      if (!hasDied()) {
        expect(cursors).toEqual(story!.promised)
        expect(fatal).toBeGreaterThan(150)
        break
      }
    }
  })

  it('loses no commit to a loss of power at any of its calls', () => {
    for (let fatal = 1; ; fatal++) {
      const disk = new SimulatedDisk()
      const directory = path.join('/disk', '__cursors', '0')
      disk.callsLeft = fatal
      let story: Story | undefined
      let hasDied = false
      try {
        story = new Story(disk, directory)
        workload(story)
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
        hasDied = true
      }
      let state = fatal
      disk.losePower(() => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return state / 2 ** 32
      })
      expectPromises(story, found(disk, directory), `power lost before call ${fatal}`)
      if (!hasDied) break
    }
  })

  it('leaves alone what takes writes, what is not sealed, and what is needed', () => {
    const fs = new NodeFileSystem()
    const directory = path.join(temporaryDirectory(), '0')
    const story = new Story(fs, directory)
    for (let commit = 0; commit < 60; commit++) story.commit('g', commit)
    const bases = segmentBases(fs.list(directory))
    expect(bases.length).toBeGreaterThan(2)
    expect(trimCursorLog(fs, directory, bases[1] - 1)).toBe(0)
    expect(trimCursorLog(fs, directory, bases[1])).toBe(1)
    expect(trimCursorLog(fs, directory, Number.MAX_SAFE_INTEGER)).toBe(bases.length - 2)
    expect(segmentBases(fs.list(directory))).toEqual([bases.at(-1)])
    story.close()
    expect(found(fs, directory)).toEqual(new Map([['g', 59]]))
  })
})
