import { notifyAll, ringIfWanted } from '../lane/doorbell.js'
import { sharedNowMs } from '../memory/clock.js'
import { recordLatency } from '../memory/latency-histogram.js'
import {
  ACK_NUMBERS,
  ACK_OFFSET_AT,
  ACK_PUBLISHED_MS_AT,
  CLIENT_BLOCKED_FOR_AT,
  CLIENT_DOORBELL_AT,
  clientAt,
  LANE_ACKS_AT,
  LANE_ACKS_COUNT_AT,
  LANE_CLIENT_AT,
  LANE_FREE,
  LANE_LIFE_AT,
  LANE_OPEN,
  LANE_SETTLED_AT,
  LANE_STATE_AT,
  LANE_WRITER_AT,
  LANES_MAX,
  laneAt,
  PARTITION_DURABLE_AT,
  PARTITION_DURABLE_SELECT_AT,
  PARTITION_SIGNAL_AT,
  PARTITION_WAITERS_AT,
  partitionAt,
  WRITER_LATENCIES_AT,
  writerAt,
} from '../memory/layout.js'
import type { Point, SharedMemory } from '../memory/shared-memory.js'
import type { WrittenSnapshot } from './lane-table.js'

/** All open lanes that lead to the writer. */
export function openLanes(memory: SharedMemory, writer: number): number[] {
  const lanes: number[] = []
  for (let lane = 0; lane < LANES_MAX; lane++) {
    const at = laneAt(lane)
    const state = Atomics.load(memory.words, at + LANE_STATE_AT)
    // Slots that never lived are taken from the lowest number on: behind one that is free and never lived there is none.
    // One that is just being taken for the first time has no life yet either, and may have others behind it.
    if (state === LANE_FREE && Atomics.load(memory.words, at + LANE_LIFE_AT) === 0) break
    if (state === LANE_OPEN && memory.words[at + LANE_WRITER_AT] === writer) lanes.push(lane)
  }
  return lanes
}

/**
 * Publishes that everything up to `point` is acknowledged, and settles the lanes' batches up to the snapshot. Only the
 * holder of the partition's sync state may call it. The watermark moves before any producer is told.
 */
export function acknowledge(
  memory: SharedMemory,
  writer: number,
  slot: number,
  snapshot: WrittenSnapshot,
  point: Point,
): void {
  const base = partitionAt(slot)
  const { words } = memory
  memory.writePoint(
    base + PARTITION_DURABLE_SELECT_AT,
    base + PARTITION_DURABLE_AT,
    point.baseOffset,
    point.position,
    point.offset,
  )
  signalPartition(memory, slot)
  const nowMs = sharedNowMs()
  const latenciesAt = writerAt(writer) + WRITER_LATENCIES_AT
  for (let index = 0; index < snapshot.lanes.length; index++) {
    const at = laneAt(snapshot.lanes[index])
    const settled = Atomics.load(words, at + LANE_SETTLED_AT)
    const written = snapshot.counts[index]
    // The lane may have been given back since, and be further on in another life.
    if (((written - settled) | 0) <= 0) continue
    const mask = words[at + LANE_ACKS_COUNT_AT] - 1
    const acksAt = words[at + LANE_ACKS_AT] >>> 3
    let batch = settled
    for (; batch !== written; batch = (batch + 1) | 0) {
      const ackAt = acksAt + (batch & mask) * ACK_NUMBERS
      // Lanes are released before the point moves: what left its lane may still be behind the point, and not synced.
      if (memory.arena.f64[ackAt + ACK_OFFSET_AT] >= point.offset) break
      recordLatency(words, latenciesAt, nowMs - memory.arena.f64[ackAt + ACK_PUBLISHED_MS_AT], 1)
    }
    if (batch === settled) continue
    Atomics.store(words, at + LANE_SETTLED_AT, batch)
    ringLaneOwner(words, words[at + LANE_CLIENT_AT], snapshot.lanes[index])
  }
}

/** Tells a lane's producer that something has moved there; one that is blocked for another lane is left asleep. */
export function ringLaneOwner(words: Int32Array, client: number, lane: number): void {
  const at = clientAt(client)
  ringIfWanted(words, at + CLIENT_DOORBELL_AT, at + CLIENT_BLOCKED_FOR_AT, lane + 1)
}

/** Wakes whoever waits for the partition's high watermark. */
export function signalPartition(memory: SharedMemory, slot: number): void {
  const base = partitionAt(slot)
  Atomics.add(memory.words, base + PARTITION_SIGNAL_AT, 1)
  if (Atomics.load(memory.words, base + PARTITION_WAITERS_AT) > 0) notifyAll(memory.words, base + PARTITION_SIGNAL_AT)
}
