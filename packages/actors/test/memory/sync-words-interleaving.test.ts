import { afterAll, beforeAll, expect, it } from 'vitest'
import { ring, sleepUntilRung } from '#actors/lane/doorbell.js'
import {
  PARTITION_PUBLISH_WANTED_AT,
  PARTITION_SYNC_SCHEDULED_AT,
  PARTITION_SYNC_STATE_AT,
  PARTITION_WORDS,
  partitionAt,
  SYNC_HELD,
} from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { SlotBits, setBit } from '#actors/memory/slot-bits.js'
import { PartitionWriter } from '#actors/writer/partition-writer.js'
import { SharedPartition } from '#actors/writer/shared-partition.js'
import { explore, pretendWorkerThread } from '../support/interleave.js'

const SLOT = 0
const AT = partitionAt(SLOT)
const BELL = AT + PARTITION_WORDS
const BITS = BELL + 1
const CONTROL = BELL + 2
/** The first offset, and what other processes were told of it. */
const FIRST = BELL + 3
const TOLD = BELL + 4

let restore: () => void
beforeAll(() => {
  restore = pretendWorkerThread()
})
afterAll(() => restore())

function smallMemory(): { memory: SharedMemory; words: Int32Array; explored: Int32Array } {
  const words = new Int32Array(AT + PARTITION_WORDS + 8)
  const { readPoint, writePoint, readPointOffset } = SharedMemory.prototype
  const wide = new BigInt64Array(words.buffer)
  const memory = { words, wide, arena: {}, readPoint, writePoint, readPointOffset } as unknown as SharedMemory
  return { memory, words, explored: words.subarray(AT) }
}

it('covers whatever is written by a scheduled sync after it', () => {
  const { memory, words, explored } = smallMemory()
  const write = (): void => {
    const shared = new SharedPartition(memory, SLOT)
    for (let offset = 1; offset <= 2; offset++) {
      shared.moveWritten(0, offset, offset)
      if (!shared.setSyncScheduled()) continue
      setBit(words, BITS, SLOT)
      ring(words, BELL)
    }
  }
  // In the order of `SyncLoop`: a bit makes a sync due, and that takes the word back before it reads the point.
  const sync = (): number => {
    const shared = new SharedPartition(memory, SLOT)
    const ready = new SlotBits(words, BITS)
    ready.include(SLOT)
    for (let synced = 0, syncs = 0; ; syncs++) {
      if (synced === 2) return syncs
      while (!ready.take(() => {})) sleepUntilRung(words, BELL, () => ready.hasAny)
      if (Atomics.load(words, AT + PARTITION_SYNC_SCHEDULED_AT) !== 1) continue
      Atomics.store(words, AT + PARTITION_SYNC_SCHEDULED_AT, 0)
      synced = shared.written.offset
    }
  }
  const states = explore({
    sides: [
      { name: 'writer', run: write },
      { name: 'sync thread', run: sync },
    ],
    words: [explored],
  })
  expect(states).toBeGreaterThan(300)
})

it.each([
  { beside: 'the sync thread, which holds the partition', isHeld: true },
  { beside: 'a move of before, which is on its way to the writer', isHeld: false },
])('tells other processes of the last first offset, beside $beside', ({ isHeld }) => {
  const { memory, words, explored } = smallMemory()
  if (isHeld) words[AT + PARTITION_SYNC_STATE_AT] = SYNC_HELD
  else for (const at of [FIRST, AT + PARTITION_PUBLISH_WANTED_AT, BITS, CONTROL]) words[at] = 1
  const publish = (): void => {
    const first = Atomics.load(words, FIRST)
    Atomics.store(words, TOLD, first)
    // For the writer of this test alone, which ends then.
    if (first === 2) ring(words, BELL)
  }
  const callWriter = (): void => {
    setBit(words, BITS, SLOT)
    Atomics.add(words, CONTROL, 1)
    ring(words, BELL)
  }
  const host = (): void => {
    Atomics.store(words, FIRST, 2)
    Atomics.store(words, AT + PARTITION_PUBLISH_WANTED_AT, 1)
    callWriter()
  }
  const sync = (): void => {
    const shared = new SharedPartition(memory, SLOT)
    publish()
    shared.letGo()
    if (shared.isPublishWanted) callWriter()
  }
  // Keeps nothing between its calls that this is about.
  const partition = new PartitionWriter(
    { memory, watermarks: { publish } } as never,
    { slot: SLOT, durability: 'memory' } as never,
  )
  const write = (): void => {
    const attention = new SlotBits(words, BITS)
    attention.include(SLOT)
    let seen = 0
    const hasWork = (): boolean => Atomics.load(words, CONTROL) !== seen || Atomics.load(words, TOLD) === 2
    while (Atomics.load(words, TOLD) !== 2) {
      if (!hasWork()) sleepUntilRung(words, BELL, hasWork)
      seen = Atomics.load(words, CONTROL)
      attention.take(() => partition.maybePublish())
    }
  }
  explore({
    sides: [
      { name: 'host', run: host },
      ...(isHeld ? [{ name: 'sync thread', run: sync }] : []),
      { name: 'writer', run: write },
    ],
    words: [explored],
    atEnd: () => expect(words[TOLD]).toBe(2),
    statesMax: 3_000_000,
  })
})
