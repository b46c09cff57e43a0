import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { isWalrusError, Walrus, type WalrusEvent } from '#actors/index.js'
import { seededNumbers } from '../workers/seeded.js'
import { temporaryDirectory } from './fixture.js'

const VARIANTS = Number(process.env['WALRUS_DAMAGED_VARIANTS'] ?? 6)
const FROM = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() % 1_000_000_000)
const RECORDS = 60
const MODES = ['strict', 'tail', 'skip'] as const
type Mode = (typeof MODES)[number]

/** Two topics of one partition each, of which one has a named producer, a group's cursor and a forgotten begin. */
async function soundDirectory(): Promise<string> {
  const directory = temporaryDirectory()
  const walrus = await Walrus.open(directory, { durability: 'disk', writerThreadsMax: 1 })
  for (const name of ['plain', 'named']) {
    const topic = await walrus.topic<string>(name, { codec: 'utf8', segmentBytes: 4096 })
    const producer = topic.producer(name === 'named' ? { producerId: 'anna' } : {})
    for (let offset = 0; offset < RECORDS; offset++) {
      await producer.append(`${name} ${offset} ${'x'.repeat((offset * 53) % 400)}`)
    }
    await producer.close()
    if (name === 'plain') continue
    const consumer = topic.consumer('g', { checkpoint: 'manual', follow: false })
    await consumer.read(20)
    await consumer.commit()
    await consumer.close()
    await topic.trim({ before: 15 })
  }
  await walrus.close()
  return directory
}

function filesBelow(directory: string): string[] {
  const names = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  return names.filter((name) => fs.statSync(path.join(directory, name)).size > 0 && /\.\w+$/.test(name))
}

/** Damages one to three files in place. Returns what it did. */
function damage(directory: string, below: (limit: number) => number): string {
  const done: string[] = []
  for (let count = 1 + below(3); count > 0; count--) {
    const files = filesBelow(directory)
    const name = files[below(files.length)]
    const file = path.join(directory, name)
    const bytes = fs.readFileSync(file)
    const from = below(bytes.length)
    const to = Math.min(from + 1 + below(200), bytes.length)
    const garbage = Buffer.from(Array.from({ length: to - from }, () => below(256)))
    const kinds: [string, () => Buffer | undefined][] = [
      ['flip', () => Buffer.from(bytes.fill(bytes[from] ^ (1 << below(8)), from, from + 1))],
      ['zero', () => bytes.fill(0, from, to)],
      ['garbage', () => Buffer.concat([bytes.subarray(0, from), garbage, bytes.subarray(to)])],
      ['cut', () => bytes.subarray(0, from)],
      ['insert', () => Buffer.concat([bytes.subarray(0, from), garbage, bytes.subarray(from)])],
      ['take out', () => Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])],
      // Without its settings a topic is none, and without its state it begins where its files do: nobody can tell.
      ['remove', () => (/\.(log|index)$/.test(name) ? undefined : bytes.subarray(0, from))],
    ]
    const [kind, change] = kinds[below(kinds.length)]
    const changed = change()
    if (changed === undefined) fs.rmSync(file)
    else fs.writeFileSync(file, changed)
    done.push(`${kind} ${name} ${from}-${to}`)
  }
  return done.join(', ')
}

/** Codes by which damage is told. */
const TOLD = ['SEGMENT_CORRUPT', 'FORMAT_VERSION']

async function orTold(action: () => Promise<void>): Promise<'done' | 'told'> {
  try {
    await action()
    return 'done'
  } catch (error) {
    if (isWalrusError(error) && TOLD.includes(error.code)) return 'told'
    throw error
  }
}

/** Opens, reads and consumes everything: what is given is what was written, and what is not given is told. */
async function tryOut(directory: string, recovery: Mode, leastOf: (name: string) => number): Promise<string> {
  const events: WalrusEvent[] = []
  let outcome = 'opened'
  const opened = await orTold(async () => {
    const walrus = await Walrus.open(directory, {
      recovery,
      writerThreadsMax: 1,
      onEvent: (event) => void events.push(event),
    })
    try {
      for (const name of ['plain', 'named']) {
        const told = await orTold(() => readTopic(walrus, name, recovery, leastOf(name)))
        if (told === 'told') outcome = 'told'
      }
      await orTold(() => consume(walrus))
    } finally {
      await walrus.close()
    }
  })
  for (const { type } of events) expect(type).not.toBe('writer-failed')
  return opened === 'told' ? 'refused' : outcome
}

async function readTopic(walrus: Walrus, name: string, recovery: Mode, least: number): Promise<void> {
  const topic = await walrus.topic<string>(name, { codec: 'utf8' })
  let next: number | undefined
  let missing = 0
  for await (const item of topic.read()) {
    if (item.gap !== undefined) {
      expect(item.from).toBe(next ?? item.from)
      missing += item.to - item.from
      next = item.to
    } else {
      for (const { offset, value } of item) {
        expect(offset).toBe(next ?? offset)
        expect(value.split(' ', 2).join(' ')).toBe(`${name} ${offset}`)
        next = offset + 1
      }
    }
  }
  if (recovery !== 'skip') expect(missing).toBe(0)
  if (recovery === 'strict') expect(next ?? 0).toBeGreaterThanOrEqual(least)
}

async function consume(walrus: Walrus): Promise<void> {
  const topic = await walrus.topic<string>('named', { codec: 'utf8' })
  const consumer = topic.consumer('g', { checkpoint: 'manual', follow: false })
  for (const { offset, value } of await consumer.read()) expect(value.startsWith(`named ${offset} `)).toBe(true)
  await consumer.close()
}

/** Damage at the very end cannot be told from what was being written as the power went: only there may records be missing untold. */
function leastAfter(sound: string, what: string): (name: string) => number {
  return (name) => {
    const segments = fs.readdirSync(path.join(sound, 'default', name, '0')).filter((file) => file.endsWith('.log'))
    const last = segments.sort().at(-1)!
    return what.includes(path.join('default', name, '0', last)) ? Number.parseInt(last, 10) : RECORDS
  }
}

describe(`${VARIANTS} damaged variants of a directory (WALRUS_TEST_SEED=${FROM})`, () => {
  test('open or are refused by name in each mode, and give nothing that is wrong or silently missing', {
    timeout: 0,
  }, async () => {
    const sound = await soundDirectory()
    const outcomes: Record<string, number> = {}
    for (let seed = FROM; seed < FROM + VARIANTS; seed++) {
      for (const mode of MODES) {
        const directory = temporaryDirectory()
        fs.cpSync(sound, directory, { recursive: true })
        const what = damage(directory, seededNumbers(seed))
        try {
          const leastOf = leastAfter(sound, what)
          const outcome = await tryOut(directory, mode, leastOf)
          outcomes[`${mode}: ${outcome}`] = (outcomes[`${mode}: ${outcome}`] ?? 0) + 1
          if (outcome === 'opened') expect(await tryOut(directory, mode, leastOf)).toBe('opened')
        } catch (error) {
          throw new Error(`seed ${seed}, ${mode}: ${what}: ${(error as Error).message}`, { cause: error })
        } finally {
          fs.rmSync(directory, { recursive: true, force: true })
        }
      }
    }
    console.log(JSON.stringify(outcomes))
    expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(VARIANTS * MODES.length)
  })
})
