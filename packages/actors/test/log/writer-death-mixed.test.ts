import { describe, expect, test } from 'vitest'
import { type Producer, type Topic, WalrusError } from '#actors/index.js'
import { type Fault, Faults } from './faults.js'
import { openLog, randomOf, temporaryDirectory } from './fixture.js'

// Named producers and batches that no lane holds are in flight together when the writer dies.

const MIB = 1024 * 1024
const PARTITIONS = 2
/** Little memory for lanes: a batch of more than half of it never finds a run in it, and others hardly ever. */
const LANE_BYTES_MAX = 4 * MIB
const faults = new Faults()

/** A record says who sent it and as which of his; the rest is filled with bytes that depend on that. */
function recordOf(sender: number, number: number, bytes: number): Uint8Array {
  const record = new Uint8Array(Math.max(bytes, 12)).fill(number * 7 + sender)
  new DataView(record.buffer).setUint32(0, sender)
  new DataView(record.buffer).setUint32(4, number)
  new DataView(record.buffer).setUint32(8, bytes)
  return record
}

interface Sender {
  number: number
  partition: number
  name: string | undefined
  /** Its records in order: their lengths, and their offsets as far as it was told them. */
  lengths: number[]
  offsets: Map<number, number>
  refused: Set<number>
}

/** Two named ones and one without a name in each partition. */
function sendersOf(): Sender[] {
  return Array.from({ length: PARTITIONS * 3 }, (_none, number) => ({
    number,
    partition: number % PARTITIONS,
    name: number < PARTITIONS * 2 ? `name ${number}` : undefined,
    lengths: [],
    offsets: new Map(),
    refused: new Set(),
  }))
}

/** With a lane of its own, before large batches take the memory for it. */
async function opened(topic: Topic<Uint8Array>, sender: Sender): Promise<Producer<Uint8Array>> {
  const producer = topic.producer({ producerId: sender.name, partition: sender.partition })
  sender.offsets.set(0, (await producer.append(recordOf(sender.number, 0, 12))).offset)
  sender.lengths.push(12)
  return producer
}

/** Appends, batches and sends of all sizes, without waiting for one before the next. */
async function work(producer: Producer<Uint8Array>, sender: Sender, random: () => number): Promise<void> {
  const jobs: Promise<void>[] = []
  const make = (bytes: number): Uint8Array => {
    sender.lengths.push(bytes)
    return recordOf(sender.number, sender.lengths.length - 1, bytes)
  }
  const note = (from: number, count: number, appended: Promise<{ offset: number }[]>): void => {
    const settled = appended.then(
      (acks) => acks.forEach(({ offset }, index) => void sender.offsets.set(from + index, offset)),
      (error: WalrusError) => {
        if (!(error instanceof WalrusError)) throw error
        for (let index = 0; index < count; index++) sender.refused.add(from + index)
      },
    )
    jobs.push(settled)
  }
  for (let round = 0; round < 6; round++) {
    const from = sender.lengths.length
    const choice = random()
    if (choice < 0.3)
      note(
        from,
        1,
        producer.append(make(100)).then((ack) => [ack]),
      )
    else if (choice < 0.5) note(from, 3, producer.appendBatch([make(200), make(10), make(5000)]))
    else if (choice < 0.7)
      note(
        from,
        1,
        producer.append(make(MIB + Math.floor(random() * MIB))).then((ack) => [ack]),
      )
    else if (choice < 0.95) note(from, 4, producer.appendBatch([make(MIB), make(3), make(2 * MIB), make(70_000)]))
    else note(from, 10, producer.appendBatch(Array.from({ length: 10 }, () => make(2 * MIB + 1))))
    if (random() < 0.3) await Promise.all(jobs.splice(0))
  }
  await Promise.all(jobs)
  // A refusal that an append was told is told once more.
  await producer.close().catch((error) => expect(error).toBeInstanceOf(WalrusError))
}

/** Every record that was not refused is there once, whole, at its offset, each sender's in the order of its calls. */
async function expectWhole(topic: Topic<Uint8Array>, senders: Sender[]): Promise<void> {
  const next = senders.map(() => 0)
  const places = new Map<number, number>()
  for await (const batch of topic.read()) {
    for (const { partition, offset, value } of batch) {
      expect(offset).toBe(places.get(partition) ?? 0)
      places.set(partition, offset + 1)
      const view = new DataView(value.buffer, value.byteOffset)
      const sender = senders[view.getUint32(0)]
      const number = view.getUint32(4)
      while (sender.refused.has(next[sender.number])) next[sender.number]++
      expect([sender.number, partition, number]).toEqual([sender.number, sender.partition, next[sender.number]])
      expect(Buffer.compare(value, recordOf(sender.number, number, sender.lengths[number]))).toBe(0)
      expect(sender.offsets.get(number)).toBe(offset)
      next[sender.number]++
    }
  }
  for (const sender of senders) {
    while (sender.refused.has(next[sender.number])) next[sender.number]++
    expect([sender.number, next[sender.number]]).toEqual([sender.number, sender.lengths.length])
  }
}

/** Who opens the names again is told what was acknowledged, and what is sent again is known. */
async function expectNamesKnown(topic: Topic<Uint8Array>, senders: Sender[]): Promise<void> {
  for (const sender of senders) {
    if (sender.name === undefined) continue
    const producer = topic.producer({ producerId: sender.name, partition: sender.partition })
    await producer.ready()
    const kept = [...sender.offsets.keys()].sort((left, right) => left - right)
    expect(producer.lastSequence).toBe(kept.length - 1)
    const last = kept.at(-1)!
    const again = recordOf(sender.number, last, sender.lengths[last])
    const ack = await producer.append(again, { sequence: kept.length - 1 })
    expect(ack).toMatchObject({ duplicate: true })
    expect([sender.offsets.get(last), -1]).toContain(ack.offset)
    const fresh = await producer.append(recordOf(sender.number, sender.lengths.length, 12))
    sender.lengths.push(12)
    sender.offsets.set(sender.lengths.length - 1, fresh.offset)
    expect(producer.lastSequence).toBe(kept.length)
    await producer.close()
  }
}

async function dieWith(fault: Fault, durability: 'os' | 'disk'): Promise<void> {
  const directory = temporaryDirectory()
  const random = randomOf(`mixed ${JSON.stringify(fault)}`)
  const options = { laneBytesMax: LANE_BYTES_MAX, durability, fileSystem: Faults.fileSystem }
  let walrus = await openLog(directory, options)
  let topic = await walrus.topic<Uint8Array>('t', { partitions: PARTITIONS, segmentBytes: 4 * MIB })
  const senders = sendersOf()
  const producers = await Promise.all(senders.map((sender) => opened(topic, sender)))
  faults.inject(fault)
  await Promise.all(senders.map((sender, index) => work(producers[index], sender, random)))
  faults.heal()
  expect(faults.fired).toBeGreaterThan(0)
  if (fault.action !== 'throw') expect(senders.flatMap(({ refused }) => [...refused])).toEqual([])
  await expectWhole(topic, senders)
  await walrus.close().catch((error) => expect(error).toBeInstanceOf(WalrusError))
  walrus = await openLog(directory, options)
  topic = await walrus.topic<Uint8Array>('t')
  await expectWhole(topic, senders)
  await expectNamesKnown(topic, senders)
  await expectWhole(topic, senders)
  await walrus.close()
}

describe('a writer that dies with named producers and large batches in flight loses, doubles and reorders nothing', () => {
  test.each([
    ['os', 'before'],
    ['os', 'after'],
    ['disk', 'before'],
    ['disk', 'after'],
  ] as const)('by its exit, durability %s, %s a call', async (durability, when) => {
    const at = Math.floor(randomOf(`death ${durability} ${when}`)() * 20) + 1
    await dieWith({ action: 'exit 1', at, when, times: 3, roles: ['writer'] }, durability)
  })

  test('by an error that nobody expects', async () => {
    await dieWith({ action: 'throw', at: 5, roles: ['writer'], kinds: ['write', 'create', 'truncate'] }, 'os')
  })

  test('by the death of its sync thread', async () => {
    await dieWith({ action: 'exit 1', at: 2, roles: ['sync'] }, 'disk')
  })
})
