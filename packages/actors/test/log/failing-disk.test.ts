import { describe, expect, test } from 'vitest'
import type { OpenOptions, Topic, Walrus } from '#actors/index.js'
import { type CallKind, type Fault, Faults } from './faults.js'
import { expectRefusal, openLog, readValues, sendAll, temporaryDirectory } from './fixture.js'

const faults = new Faults()

async function openFaulty(directory: string, options: OpenOptions = {}): Promise<Walrus> {
  return openLog(directory, { writerThreadsMax: 1, fileSystem: Faults.fileSystem, durability: 'disk', ...options })
}

interface Outcome {
  /** Values by the offset that their acknowledgement named. */
  kept: Map<number, string>
  codes: string[]
  causes: string[]
}

/** Appends one by one and in batches, and says what was acknowledged; nothing is sent twice. */
async function work(topic: Topic<string>, rounds = 5): Promise<Outcome> {
  const producers = [topic.producer(), topic.producer()]
  const outcome: Outcome = { kept: new Map(), codes: [], causes: [] }
  const refused = (error: { code: string; cause?: { code: string } }): void => {
    outcome.codes.push(error.code)
    outcome.causes.push(error.cause?.code ?? '')
  }
  const jobs = producers.map(async (producer, number) => {
    for (let round = 0; round < rounds; round++) {
      const name = (index: number): string => `${number} ${round} ${index} ${'x'.repeat(400)}`
      const single = producer.append(name(0))
      const batch = producer.appendBatch([name(1), name(2)])
      await single.then(({ offset }) => outcome.kept.set(offset, name(0)), refused)
      await batch.then((acks) => {
        for (const [index, { offset }] of acks.entries()) outcome.kept.set(offset, name(index + 1))
      }, refused)
    }
    await producer.close().catch(refused)
  })
  await Promise.all(jobs)
  return outcome
}

/** Exactly what was acknowledged is there, at its offset. */
async function expectKept(topic: Topic<string>, { kept }: Outcome): Promise<void> {
  const values = await readValues(topic)
  const expected = [...kept].sort(([left], [right]) => left - right)
  expect(values.map((value, offset) => [offset, value.slice(0, 6)])).toEqual(
    expected.map(([offset, value]) => [offset, value.slice(0, 6)]),
  )
}

/** After a sync of a segment has failed, no other of it may be taken for its success before what was in doubt is cut. */
function expectNoSyncRepeated(): void {
  const failed = new Set<number>()
  for (const { kind, failed: hasFailed, base } of faults.log) {
    if (base < 0) continue
    if (kind === 'create' || kind === 'truncate' || kind === 'remove') failed.delete(base)
    if (kind !== 'sync') continue
    expect(failed).not.toContain(base)
    if (hasFailed) failed.add(base)
  }
}

const TOPICS_A_LOG = 12

/** Runs the workload with the fault at each call in turn, until it comes too late. Returns what was refused, by place. */
async function failInTurn(fault: Omit<Fault, 'at'>, { durability = 'disk' }: OpenOptions = {}): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (let at = 1; ; ) {
    const directory = temporaryDirectory()
    const walrus = await openFaulty(directory, { durability })
    const done: Outcome[] = []
    let isOver = false
    for (let index = 0; index < TOPICS_A_LOG && !isOver; index++, at++) {
      const topic = await walrus.topic<string>(`t${index}`, { codec: 'utf8', segmentBytes: 4096 })
      faults.inject({ ...fault, at })
      const outcome = await work(topic)
      isOver = faults.fired === 0
      expectNoSyncRepeated()
      faults.heal()
      await expectKept(topic, outcome)
      const [last] = await topic.producer().appendBatch(['after'])
      outcome.kept.set(last.offset, 'after')
      await expectKept(topic, outcome)
      done.push(outcome)
    }
    await walrus.close()
    const again = await openLog(directory, { writerThreadsMax: 1 })
    for (const [index, outcome] of done.entries()) await expectKept(await again.topic<string>(`t${index}`), outcome)
    await again.close()
    outcomes.push(...done)
    if (isOver) return outcomes
  }
}

const codesOf = (outcomes: Outcome[]): string[] => [...new Set(outcomes.flatMap(({ codes }) => codes))].sort()
const causesOf = (outcomes: Outcome[]): string[] => [...new Set(outcomes.flatMap(({ causes }) => causes))].sort()

describe('nothing is acknowledged falsely, and nothing that was refused is found later, when the disk', () => {
  test('is full at any write, and later appends succeed when it has room again', async () => {
    const outcomes = await failInTurn({ action: 'ENOSPC', kinds: ['write'] }, { durability: 'os' })
    expect(codesOf(outcomes)).toEqual(['DISK_FULL'])
    expect(causesOf(outcomes)).toEqual(['ENOSPC'])
    expect(outcomes.length).toBeGreaterThan(10)
  })

  test('fails at a sync of a schedule, which nobody waits for', async () => {
    const directory = temporaryDirectory()
    const walrus = await openFaulty(directory, { durability: { everyMs: 1 } })
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 4096 })
    const producer = topic.producer()
    const outcome: Outcome = { kept: new Map(), codes: [], causes: [] }
    for (const at of [1, 2, 3, 4, 5]) {
      faults.inject({ action: 'EIO', kinds: ['sync'], at })
      for (let index = 0; faults.fired === 0; index++) {
        const value = `${at} ${index}`.padEnd(300)
        await producer.append(value).then(
          ({ offset }) => outcome.kept.set(offset, value),
          ({ code }) => outcome.codes.push(code),
        )
      }
    }
    faults.heal()
    await producer.flush().catch(() => {})
    await expectKept(topic, outcome)
    await walrus.close()
    const again = await openLog(directory)
    await expectKept(await again.topic<string>('t'), outcome)
    expect(outcome.codes.filter((code) => code !== 'SEGMENT_POISONED')).toEqual([])
  })

  test('is full for some calls in a row, and cannot even be cut meanwhile', async () => {
    for (const times of [2, 5]) {
      const outcomes = await failInTurn(
        {
          action: 'ENOSPC',
          times,
          kinds: ['create', 'write', 'truncate', 'remove', 'syncDirectory'],
          roles: ['writer'],
        },
        { durability: times === 5 ? 'os' : 'disk' },
      )
      expect(codesOf(outcomes)).toEqual(['DISK_FULL'])
    }
  })

  const failures: [CallKind, string][] = [
    ['write', 'a write'],
    ['sync', 'a sync'],
    ['create', 'making a file'],
    ['truncate', 'cutting a file'],
    ['syncDirectory', 'syncing a directory'],
    ['rename', 'renaming an index'],
  ]
  for (const [kind, name] of failures) {
    test(`fails once at ${name}, at any of them`, async () => {
      const outcomes = await failInTurn({ action: 'EIO', kinds: [kind] })
      for (const code of codesOf(outcomes)) expect(code).toBe('SEGMENT_POISONED')
      for (const cause of causesOf(outcomes)) expect(cause).toBe('EIO')
      expect(outcomes.length).toBeGreaterThan(1)
    })
  }
})

test('a writer that dies while it deals with a failed sync leaves nothing of what was in doubt', async () => {
  for (const at of [2, 5]) {
    for (let thenDieAt = 1; ; ) {
      const directory = temporaryDirectory()
      const walrus = await openFaulty(directory)
      const done: Outcome[] = []
      let isOver = false
      for (let deaths = 0; deaths < 5 && !isOver; deaths++, thenDieAt += 2) {
        const topic = await walrus.topic<string>(`t${deaths}`, { codec: 'utf8', segmentBytes: 4096 })
        faults.inject({ action: 'EIO', kinds: ['sync'], at, thenDieAt })
        const outcome = await work(topic, 4)
        isOver = faults.fired < 2
        faults.heal()
        await expectKept(topic, outcome)
        done.push(outcome)
      }
      await walrus.close()
      const again = await openLog(directory, { writerThreadsMax: 1 })
      for (const [index, outcome] of done.entries()) await expectKept(await again.topic<string>(`t${index}`), outcome)
      await again.close()
      if (isOver || thenDieAt > 30) break
    }
  }
})

test('records that were sent and then refused are told by flush, once, and by close', async () => {
  const walrus = await openFaulty(temporaryDirectory())
  const topic = await walrus.topic<string>('t', { codec: 'utf8' })
  const producer = topic.producer()
  await producer.append('kept')
  faults.inject({ action: 'EIO', at: 1, kinds: ['sync'] })
  // One batch, so that it is refused as a whole: of single sends, the writer may have taken the first one alone.
  const lost = expectRefusal(producer.appendBatch(['lost 0', 'lost 1', 'lost 2']), 'SEGMENT_POISONED')
  await expectRefusal(producer.flush(), 'SEGMENT_POISONED', { unacknowledged: 3 })
  await lost
  await producer.flush()
  await producer.append('kept too')
  faults.inject({ action: 'ENOSPC', at: 1, kinds: ['write'] })
  producer.send('lost 3')
  await expectRefusal(walrus.close(), 'DISK_FULL', { unacknowledged: 1 })
  const again = await openLog(walrus.directory.replace(/\/default$/, ''))
  expect(await readValues(await again.topic<string>('t'))).toEqual(['kept', 'kept too'])
})

test('a sync that fails at any point of closing acknowledges nothing that it should have made durable', async () => {
  for (let at = 1; ; at++) {
    const directory = temporaryDirectory()
    const walrus = await openFaulty(directory)
    const topic = await walrus.topic<string>('t', { codec: 'utf8', segmentBytes: 4096 })
    const producer = topic.producer()
    await producer.append('kept')
    faults.inject({ action: 'EIO', at, times: 1, kinds: ['sync'] })
    const values = Array.from({ length: 30 }, (_none, index) => `${index}`.padEnd(400))
    await sendAll(producer, values)
    const refused = await walrus.close().then(
      () => 0,
      (error) => error.unacknowledged as number,
    )
    const isOver = faults.fired === 0
    faults.heal()
    const again = await openLog(directory)
    // What was taken only after the failure was dealt with is there, behind what was refused.
    const [kept, ...found] = await readValues(await again.topic<string>('t'))
    expect([kept, found.length]).toEqual(['kept', 30 - refused])
    expect(found).toEqual(values.filter((value) => found.includes(value)))
    await again.close()
    if (isOver) break
  }
})
