import { setTimeout } from 'node:timers/promises'
import { ring } from '../lane/doorbell.js'
import type { PartitionPlace } from '../log/log-client.js'
import {
  LANE_CLIENT_AT,
  LANE_HEAD_AT,
  LANE_PARTITION_AT,
  LANE_SETTLED_AT,
  LANE_TAIL_AT,
  LANE_WRITTEN_AT,
  laneAt,
  WRITER_DOORBELL_AT,
  WRITER_READY_AT,
  writerAt,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { openLanes } from '../writer/settlement.js'

/** A thread hardly ever dies with something on its way, and a sync is over in milliseconds. */
const LOOK_MS = 2

/**
 * Resolves when all that a thread has published to a partition's writer is settled. The thread has ended, perhaps between
 * the publication and the ready bit; its lanes do not move any more, so that each is waited for up to where it is now.
 */
export async function lanesSettled(memory: SharedMemory, client: number, place: PartitionPlace): Promise<void> {
  const { words } = memory
  for (const lane of openLanes(memory, place.writer)) {
    const at = laneAt(lane)
    if (words[at + LANE_CLIENT_AT] !== client || words[at + LANE_PARTITION_AT] !== place.slot) continue
    const tail = Atomics.load(words, at + LANE_TAIL_AT)
    const isTaken = (): boolean => ((Atomics.load(words, at + LANE_HEAD_AT) - tail) | 0) >= 0
    if (!isTaken()) {
      Atomics.or(words, writerAt(place.writer) + WRITER_READY_AT + (lane >>> 5), 1 << (lane & 31))
      ring(words, writerAt(place.writer) + WRITER_DOORBELL_AT)
    }
    while (!isTaken() && memory.isOpen) await setTimeout(LOOK_MS)
    const written = Atomics.load(words, at + LANE_WRITTEN_AT)
    const isSettled = (): boolean => ((Atomics.load(words, at + LANE_SETTLED_AT) - written) | 0) >= 0
    while (!isSettled() && memory.isOpen) await setTimeout(LOOK_MS)
  }
}
