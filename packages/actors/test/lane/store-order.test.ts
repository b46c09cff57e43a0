import { Region } from '@walrus-log/core'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { LaneReader } from '#actors/lane/lane-reader.js'
import { LaneWriter } from '#actors/lane/lane-writer.js'
import { type LanePlace, POSITION_SHIFT, type SharedWords } from '#actors/lane/layout.js'
import { PartitionLane } from '#actors/log/partition-lane.js'
import {
  LANE_ACKS_AT,
  LANE_ACKS_COUNT_AT,
  LANE_HEAD_AT,
  LANE_MOVING_AT,
  LANE_NEXT_HEAD_AT,
  LANE_NEXT_WRITTEN_AT,
  LANE_PUBLISHED_AT,
  LANE_RING_AT,
  LANE_RING_BYTES_AT,
  LANE_TAIL_AT,
  LANE_WRITTEN_AT,
  laneAt,
  WRITER_DOORBELL_AT,
  WRITER_READY_AT,
  writerAt,
} from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { LargeBatches } from '#actors/message/large-batches.js'
import { MESSAGE_FRAMING } from '#actors/message/message-lane.js'
import { WriterLane } from '#actors/writer/writer-lane.js'

const place: LanePlace = { ringAt: 0, ringBytes: 256, tailAt: 0, headAt: 1 }

/** Words that note every access, and at each store compare what the memory then holds. */
class RecordingWords implements SharedWords {
  readonly values = [0, 0]
  readonly accesses: string[] = []
  onStore: (at: number, value: number) => void = () => {}

  loadAcquire(at: number): number {
    this.accesses.push(`load ${at === place.tailAt ? 'tail' : 'head'}`)
    return this.values[at]
  }

  storeRelease(at: number, value: number): void {
    this.accesses.push(`store ${at === place.tailAt ? 'tail' : 'head'}`)
    this.onStore(at, value)
    this.values[at] = value
  }
}

/** Notes atomic accesses to words that have a name, in their order. */
function recordAtomics(words: Int32Array, names: Record<number, string>): { accesses: string[]; restore: () => void } {
  const accesses: string[] = []
  const before = {
    ...Object.fromEntries(Object.getOwnPropertyNames(Atomics).map((name) => [name, Atomics[name as 'load']])),
  }
  for (const name of ['load', 'store', 'or', 'add', 'exchange', 'compareExchange', 'notify'] as const) {
    const call = before[name] as (...all: unknown[]) => unknown
    Object.assign(Atomics, {
      [name]: (array: Int32Array, index: number, ...values: unknown[]) => {
        if (array === words && names[index] !== undefined) accesses.push(`${name} ${names[index]}`)
        return call(array, index, ...values)
      },
    })
  }
  return { accesses, restore: () => Object.assign(Atomics, before) }
}

describe('the order in which a lane stores', () => {
  it('has every byte of an entry, and of the padding before it, in place when the tail moves', () => {
    const region = Region.allocate(256)
    const words = new RecordingWords()
    const seen: number[][] = []
    words.onStore = (at, tail) => {
      if (at !== place.tailAt) return
      // What a receiver finds that looks right after this store.
      const entries: number[] = []
      let position = words.values[place.tailAt]
      while (position !== tail) {
        const offset = (position << POSITION_SHIFT) & 255
        entries.push(region.u32[offset >>> 2])
        position += region.u32[offset >>> 2] >>> POSITION_SHIFT
      }
      seen.push(entries)
    }
    const writer = new LaneWriter(region, words, place, MESSAGE_FRAMING)
    const reader = new LaneReader(region, words, place, MESSAGE_FRAMING)
    for (const bytes of [96, 120, 128]) {
      const at = writer.claim(bytes)
      region.u32.fill(bytes, at >>> 2, (at + bytes) >>> 2)
      writer.publish(at + bytes)
      reader.look()
      while (reader.next() >= 0) {}
      reader.release()
    }
    expect(seen).toEqual([[96], [120], [40, 128]])
  })

  it('asks for the other side`s word only where what is known does not do', () => {
    const region = Region.allocate(256)
    const words = new RecordingWords()
    const writer = new LaneWriter(region, words, place, MESSAGE_FRAMING)
    const reader = new LaneReader(region, words, place, MESSAGE_FRAMING)
    words.accesses.length = 0
    for (const bytes of [64, 64, 128]) {
      const at = writer.claim(bytes)
      region.u32[at >>> 2] = bytes
      writer.publish(at + bytes)
    }
    expect(words.accesses).toEqual(['store tail', 'store tail', 'store tail'])
    expect(writer.claim(64)).toBe(-1)
    reader.look()
    while (reader.next() >= 0) {}
    reader.release()
    expect(words.accesses.slice(3)).toEqual(['load head', 'load tail', 'store head'])
  })
})

describe('the order in which a record lane tells its other end', () => {
  const LANE = 5
  const at = laneAt(LANE)
  const readyAt = writerAt(3) + WRITER_READY_AT
  const doorbellAt = writerAt(3) + WRITER_DOORBELL_AT
  let restore = (): void => {}
  afterEach(() => restore())

  function open(): { memory: SharedMemory; lane: PartitionLane } {
    const memory = SharedMemory.allocate(8 * 1024 * 1024)
    const { words } = memory
    words[at + LANE_RING_BYTES_AT] = 64 * 1024
    words[at + LANE_RING_AT] = 0
    words[at + LANE_ACKS_AT] = 64 * 1024
    words[at + LANE_ACKS_COUNT_AT] = 256
    return {
      memory,
      lane: new PartitionLane(memory, LANE, {
        partition: 0,
        writer: 3,
        producerId: 1,
        epoch: 0,
        sequenceNext: 0,
        onRefused: () => {},
      }),
    }
  }

  function sendOne(lane: PartitionLane): void {
    const next = lane.reserve(24)
    lane.region.u8.fill(1, next, next + 24)
    lane.add(next + 24, lane.timestampFirst, 0)
    lane.publish()
  }

  it('is count, tail, ready bit, doorbell; and the bit is left alone where it is set', () => {
    const { memory, lane } = open()
    const { words } = memory
    words[doorbellAt] = 1
    const recorded = recordAtomics(words, {
      [at + LANE_TAIL_AT]: 'tail',
      [at + LANE_PUBLISHED_AT]: 'published',
      [readyAt]: 'ready',
      [doorbellAt]: 'bell',
    })
    restore = recorded.restore
    sendOne(lane)
    const rung = ['compareExchange bell', 'notify bell']
    expect(recorded.accesses).toEqual(['store published', 'store tail', 'load ready', 'or ready', 'load bell', ...rung])
    recorded.accesses.length = 0
    sendOne(lane)
    expect(recorded.accesses).toEqual(['store published', 'store tail', 'load ready', 'load bell'])
    expect(words[readyAt]).toBe(1 << LANE)
  })

  it('is, on the way back, word of the move, head, count, end of the move', () => {
    const { memory, lane } = open()
    const { words } = memory
    sendOne(lane)
    const largeBatches = new LargeBatches(memory, 3)
    onTestFinished(() => largeBatches.close())
    const writer = new WriterLane(memory, LANE, largeBatches)
    writer.reader.look()
    writer.reader.next()
    writer.setOutcome(0)
    const recorded = recordAtomics(words, {
      [at + LANE_NEXT_HEAD_AT]: 'next head',
      [at + LANE_NEXT_WRITTEN_AT]: 'next written',
      [at + LANE_MOVING_AT]: 'moving',
      [at + LANE_HEAD_AT]: 'head',
      [at + LANE_WRITTEN_AT]: 'written',
    })
    restore = recorded.restore
    writer.release()
    const announced = ['store next head', 'store next written', 'store moving']
    expect(recorded.accesses).toEqual([...announced, 'store head', 'store written', 'store moving'])
    expect([words[at + LANE_HEAD_AT], words[at + LANE_WRITTEN_AT], words[at + LANE_MOVING_AT]]).toEqual([
      words[at + LANE_TAIL_AT],
      1,
      0,
    ])
  })
})
