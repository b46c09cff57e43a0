import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { isWalrusError } from '#core/errors.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import { segmentFileName } from '#core/segment/segment-name.js'
import type { FileSystem } from '#core/storage/file-system.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { verifyPartition } from '#core/verify/verify-partition.js'
import { append, appendSynced, openPartition } from '../support/partition.js'
import { below, type Random, randomOf } from '../support/random.js'
import { readOver } from '../support/read-over.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { temporaryDirectory } from '../support/temporary.js'

const FROM = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() % 1_000_000_000)
const VARIANTS = 1000
const RECORDS = 14
const LAST = segmentFileName(12)

/** So many of them are opened where they would lie, on the system's own disk; the others in memory. */
const REAL_EVERY = 20

/** A partition's files: three sealed segments, of which one has gaps, and an open one. */
function original(): Map<string, Buffer> {
  const directory = temporaryDirectory()
  const options = { segmentEntries: 4, segmentBytes: 4096 }
  const log = openPartition(directory, { ...options, onRolled: () => {} })
  for (let n = 0; n < RECORDS - 1; n++) appendSynced(log, `${n}:${'x'.repeat(n * 7)}`)
  log.close()
  const second = path.join(directory, segmentFileName(4))
  const bytes = fs.readFileSync(second)
  bytes[64 + 150] ^= 1
  fs.writeFileSync(second, bytes)
  const skipping = openPartition(directory, { ...options, recovery: 'skip' })
  append(skipping, `${RECORDS - 1}:last`)
  skipping.close()
  return new Map(fs.readdirSync(directory).map((name) => [name, fs.readFileSync(path.join(directory, name))]))
}

/** Damages the files in one to three ways. Returns what it did. */
function damage(files: Map<string, Buffer>, random: Random): string {
  const done: string[] = []
  for (let count = 1 + below(random, 3); count > 0 && files.size > 0; count--) {
    const name = [...files.keys()][below(random, files.size)]
    const bytes = Buffer.from(files.get(name)!)
    const from = below(random, bytes.length + 1)
    const to = Math.min(from + 1 + below(random, 200), bytes.length)
    const garbage = Buffer.from(Array.from({ length: to - from }, () => below(random, 256)))
    const other = [...files.keys()][below(random, files.size)]
    const kinds: Record<string, () => Buffer | undefined> = {
      flip: () => {
        if (from < bytes.length) bytes[from] ^= 1 << below(random, 8)
        return bytes
      },
      zero: () => bytes.fill(0, from, to),
      garbage: () => Buffer.concat([bytes.subarray(0, from), garbage, bytes.subarray(to)]),
      cut: () => bytes.subarray(0, from),
      insert: () => Buffer.concat([bytes.subarray(0, from), garbage, bytes.subarray(from)]),
      'take out': () => Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]),
      repeat: () => Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)]),
      append: () => Buffer.concat([bytes, garbage]),
      empty: () => Buffer.alloc(0),
      'copy over another': () => {
        files.set(other, bytes)
        return bytes
      },
      remove: () => undefined,
    }
    const kind = Object.keys(kinds)[below(random, Object.keys(kinds).length)]
    const changed = kinds[kind]()
    if (changed === undefined) files.delete(name)
    else files.set(name, changed)
    done.push(`${kind} ${name} (${from} to ${to}, ${other})`)
  }
  return done.join(', ')
}

type Outcome = 'opened' | 'read in part' | 'refused'

/** Opens and reads; whatever is given is what was written, and holes are told. */
function tryOut(fs: FileSystem, directory: string, recovery: RecoveryMode): Outcome {
  let isOpen = false
  try {
    const log = openPartition(directory, { fs, recovery, segmentEntries: 4, segmentBytes: 4096 })
    isOpen = true
    try {
      const found = readOver(directory, log, { fs, skip: recovery === 'skip' })
      for (const [offset, value] of found.values) if (value.split(':')[0] !== `${offset}`) expect(value).toBe(offset)
      return 'opened'
    } finally {
      log.close()
    }
  } catch (error) {
    const isTold = isWalrusError(error) && ['SEGMENT_CORRUPT', 'FORMAT_VERSION'].includes(error.code)
    if (!isTold || (isOpen && recovery === 'skip')) throw error
    return isOpen ? 'read in part' : 'refused'
  }
}

describe(`${VARIANTS} damaged variants of a partition (WALRUS_TEST_SEED=${FROM})`, () => {
  it('are opened or refused by name in every mode, and nothing that is read is wrong or silently missing', () => {
    const sound = original()
    const root = temporaryDirectory()
    const outcomes: Record<string, number> = {}
    for (let seed = FROM; seed < FROM + VARIANTS; seed++) {
      const files = new Map(sound)
      const what = damage(files, randomOf(seed))
      const isChanged = files.size !== sound.size || [...files].some(([name, bytes]) => !sound.get(name)?.equals(bytes))
      for (const mode of ['strict', 'tail', 'skip'] as const) {
        const directory = path.join(root, `${seed}-${mode}`)
        const system = seed % REAL_EVERY === 0 ? new NodeFileSystem() : new SimulatedDisk()
        system.makeDirectory(directory)
        for (const [name, bytes] of files) {
          const file = system.open(path.join(directory, name), 'create')
          file.write(bytes, 0, bytes.length, 0)
          file.close()
        }
        try {
          if (mode === 'strict' && isChanged) {
            verifyPartition(system, { topic: 't', partition: 0, directory })
          }
          const outcome = tryOut(system, directory, mode)
          // Whoever opens strictly keeps a last segment that nobody damaged.
          if (
            mode === 'strict' &&
            outcome === 'opened' &&
            sound.get(LAST)!.equals(files.get(LAST) ?? Buffer.alloc(0))
          ) {
            expect(system.exists(path.join(directory, LAST))).toBe(true)
          }
          const key = `${mode}: ${outcome}`
          outcomes[key] = (outcomes[key] ?? 0) + 1
          // What was opened once opens strictly from then on, with the same.
          if (outcome === 'opened')
            expect(tryOut(system, directory, mode === 'skip' ? 'skip' : 'strict')).toBe('opened')
        } catch (error) {
          throw new Error(`seed ${seed}, ${mode}: ${what}: ${(error as Error).message}`, { cause: error })
        }
      }
    }
    console.log(JSON.stringify(outcomes))
    expect(outcomes['skip: opened']).toBeGreaterThan(VARIANTS / 2)
  })
})
