import { afterEach, expect, test, vi } from 'vitest'
import { type ControlCalls, claimClient, LogClient, openClient, type PartitionPlace } from '#actors/log/log-client.js'
import type { PartitionLane } from '#actors/log/partition-lane.js'
import { LANE_WRITTEN_AT, LANES_MAX, laneAt } from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { LaneTable } from '#actors/writer/lane-table.js'

const PRODUCER = { producerId: 7, epoch: 0, sequenceNext: 0 }

function fixture(laneBytesMax = 16 * 1024 * 1024) {
  const memory = SharedMemory.allocate(laneBytesMax)
  const number = claimClient(memory)
  openClient(memory, number)
  const client = new LogClient(memory, number, {} as ControlCalls)
  const open = (slot: number, writer = 0): PartitionLane =>
    client.openLane({ partition: 0, slot, writer } as PartitionPlace, PRODUCER, () => {})
  return { memory, client, open }
}

afterEach(() => vi.restoreAllMocks())

test('lanes to partitions that are gone are taken to others: any number of them, one after the other', () => {
  const { client, open } = fixture()
  for (let slot = 0; slot < 2 * LANES_MAX; slot++) {
    const lane = open(slot)
    expect(lane.lane).toBe(0)
    client.closeLane(lane, 0)
  }
})

test("a lane's slot stays with its writer", () => {
  const { client, open } = fixture()
  client.closeLane(open(1, 0), 0)
  expect(open(1, 1).lane).toBe(1)
  expect(open(2, 0).lane).toBe(0)
})

test('a few lanes get large rings, and thousands fit all the same', () => {
  const { open } = fixture(512 * 1024 * 1024)
  expect(open(0).batchBytesMax).toBe(512 * 1024)
  let last: PartitionLane | undefined
  for (let slot = 1; slot < 4000; slot++) last = open(slot)
  expect(last!.batchBytesMax).toBe(16 * 1024)
})

test('a table knows the lanes of each partition, as they are opened, closed and taken to another', () => {
  const { memory, client, open } = fixture()
  const table = new LaneTable(memory, 0)
  expect(table.of(1)).toEqual([])
  const first = open(1)
  open(2, 1)
  const second = open(1)
  expect([table.of(1), table.of(2)]).toEqual([[first.lane, second.lane], []])
  client.closeLane(first, 0)
  const other = open(5)
  expect(other.lane).toBe(first.lane)
  expect([table.of(1), table.of(5)]).toEqual([[second.lane], [other.lane]])
  expect(new LaneTable(memory, 0).of(5)).toEqual([other.lane])
})

test('what is written on a lane for another partition is never counted as this one’s', () => {
  const { memory, client, open } = fixture()
  const table = new LaneTable(memory, 0)
  const lane = open(1)
  const kept = open(1)
  const writtenAt = laneAt(lane.lane) + LANE_WRITTEN_AT
  expect(table.snapshot(1)).toEqual({ lanes: [lane.lane, kept.lane], counts: [0, 0] })
  const { load } = Atomics
  let isTaken = false
  vi.spyOn(Atomics, 'load').mockImplementation(((words: Int32Array, at: number) => {
    // Between the look at the list and the look at the count, the lane becomes another partition's, which is written.
    if (words === memory.words && at === writtenAt && !isTaken) {
      isTaken = true
      client.closeLane(lane, 0)
      expect(open(9).lane).toBe(lane.lane)
      memory.words[writtenAt]++
    }
    return load(words, at)
  }) as typeof Atomics.load)
  expect(table.snapshot(1)).toEqual({ lanes: [kept.lane], counts: [0] })
  expect(isTaken).toBe(true)
  expect(table.snapshot(9)).toEqual({ lanes: [lane.lane], counts: [1] })
})
