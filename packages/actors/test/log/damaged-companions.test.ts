import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { type RecoveryMode, Walrus, WalrusError } from '#actors/index.js'
import { temporaryDirectory } from './fixture.js'

// Every file beside the segments, damaged in every way, opened in every mode: what comes is a refusal by name, or all that
// is kept, with gaps shown where something is not.

const VALUES = Array.from({ length: 20 }, (_none, index) => `value ${index}`)
const TRIMMED = 3
const HANDLED = 7

const DAMAGES: Record<string, (file: string) => void> = {
  truncated: (file) => fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2)),
  emptied: (file) => fs.truncateSync(file, 0),
  'with a bit turned over at its start': (file) => flip(file, 0.01),
  'with a bit turned over in its middle': (file) => flip(file, 0.4),
  'with random bytes': (file) => fs.writeFileSync(file, Buffer.alloc(fs.statSync(file).size, 0x5a)),
  'replaced by a directory': (file) => {
    fs.rmSync(file)
    fs.mkdirSync(file)
  },
  missing: (file) => fs.rmSync(file),
}

function flip(file: string, share: number): void {
  const bytes = fs.readFileSync(file)
  bytes[Math.floor(bytes.length * share)] ^= 4
  fs.writeFileSync(file, bytes)
}

const FILES: Record<string, (name: string) => boolean> = {
  'the cursor log': (name) => /^__cursors\/0\/.*\.log$/.test(name),
  "the cursor log's settings": (name) => name === '__cursors/topic.json',
  'the producers of a segment': (name) => /^t\/0\/.*\.producers$/.test(name),
  'the registry of producers': (name) => name === 't/producers.json',
  'the partition state': (name) => name === 't/0/partition.state',
  'the gaps of a segment': (name) => /^t\/0\/.*\.gaps$/.test(name),
  'the index of a segment': (name) => /^t\/0\/.*\.index$/.test(name),
}

let original: string
/** What a whole log gives: values, and how many offsets are gaps. */
let whole: { values: string[]; gapOffsets: number }

interface Outcome {
  refusal?: WalrusError
  values: string[]
  gapOffsets: number
  /** Offset that the group goes on at, or why it does not. */
  group?: number | WalrusError
  producer?: number | WalrusError
}

const requireTyped = (error: unknown): WalrusError => {
  if (error instanceof WalrusError) return error
  throw new Error(`not an error of the package: ${String(error)}`, { cause: error })
}

async function look(directory: string, recovery: RecoveryMode): Promise<Outcome> {
  const outcome: Outcome = { values: [], gapOffsets: 0 }
  let walrus: Walrus | undefined
  try {
    walrus = await Walrus.open(directory, { recovery, writerThreadsMax: 1, durability: 'os' })
    const topic = await walrus.topic<string>('t')
    for await (const batch of topic.read()) {
      if (batch.gap !== undefined) outcome.gapOffsets += batch.to - batch.from
      else for (const { value } of batch) outcome.values.push(value)
    }
    const consumer = topic.consumer('g', { checkpoint: 'manual' })
    outcome.group = await consumer.read(1).then(([record]) => record?.offset ?? -1, requireTyped)
    const producer = topic.producer({ producerId: 'n' })
    outcome.producer = await producer.ready().then(() => producer.lastSequence, requireTyped)
    await producer.close().catch(requireTyped)
  } catch (error) {
    outcome.refusal = requireTyped(error)
  } finally {
    await walrus?.close().catch(requireTyped)
  }
  return outcome
}

beforeAll(async () => {
  original = fs.mkdtempSync(path.join(os.tmpdir(), 'walrus-companions-'))
  const options = { writerThreadsMax: 1, durability: 'disk' } as const
  const walrus = await Walrus.open(original, options)
  const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentEntries: 4 })
  const producer = topic.producer({ producerId: 'n' })
  for (const value of VALUES) await producer.append(value)
  const consumer = topic.consumer('g')
  await consumer.read(HANDLED)
  await consumer.commit()
  await topic.trim({ before: TRIMMED })
  await walrus.close()
  // Damage in the middle, which a first opening writes down in a file of gaps.
  const segment = path.join(original, 'default', 't', '0', '00000000000000000008.log')
  const bytes = fs.readFileSync(segment)
  bytes[Math.floor(bytes.length / 2)] ^= 1
  fs.writeFileSync(segment, bytes)
  fs.rmSync(segment.replace('.log', '.index'))
  whole = await look(original, 'skip')
  return () => fs.rmSync(original, { recursive: true })
}, 60_000)

test('the log that is damaged has all of these files, and one gap', () => {
  const names = fs.readdirSync(path.join(original, 'default'), { recursive: true }) as string[]
  for (const [kind, isIt] of Object.entries(FILES)) expect(names.filter(isIt), kind).not.toHaveLength(0)
  expect(whole.gapOffsets).toBe(1)
  expect(whole.values).toHaveLength(VALUES.length - TRIMMED - 1)
})

describe.each(Object.entries(FILES))('%s', (_kind, isIt) => {
  test.each(Object.entries(DAMAGES))('%s', async (_damage, spoil) => {
    for (const recovery of ['strict', 'tail', 'skip'] as const) {
      const names = fs.readdirSync(path.join(original, 'default'), { recursive: true }) as string[]
      // One of a kind stands for all, of which an opening each would take long.
      for (const name of names.filter(isIt).sort().slice(0, 1)) {
        const directory = temporaryDirectory()
        fs.cpSync(original, directory, { recursive: true })
        spoil(path.join(directory, 'default', name))
        const outcome = await look(directory, recovery)
        const where = `${name} in ${recovery}: ${JSON.stringify({ ...outcome, refusal: outcome.refusal?.message })}`
        if (outcome.refusal !== undefined) continue
        // Whatever is read comes in order. What was trimmed may be there again; 'tail' may end the log early.
        const first = VALUES.indexOf(outcome.values[0])
        const all = VALUES.slice(first).filter(
          (value) => whole.values.includes(value) || VALUES.indexOf(value) < TRIMMED,
        )
        if (recovery === 'tail') expect(all.slice(0, outcome.values.length), where).toEqual(outcome.values)
        else expect(outcome.values, where).toEqual(all)
        if (recovery !== 'tail') expect(first, where).toBeLessThanOrEqual(TRIMMED)
        // A group is where it was, or begins again, or says why not; it never goes past what it has not handled.
        if (typeof outcome.group === 'number') expect(outcome.group, where).toBeLessThanOrEqual(HANDLED)
        // A name knows all that it has sent, or says why not.
        if (typeof outcome.producer === 'number' && recovery !== 'tail') {
          expect(outcome.producer, where).toBe(VALUES.length - 1)
        }
      }
    }
  })
})
