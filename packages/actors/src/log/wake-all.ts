import { ring } from '../lane/doorbell.js'
import { CLIENT_DOORBELL_AT, CLIENT_FREE, CLIENT_STATE_AT, CLIENTS_MAX, clientAt } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import { signalPartition } from '../writer/settlement.js'

/** Rings every thread's doorbell and every watermark, so that whoever waits sees that the log's state has changed. */
export function wakeAll(memory: SharedMemory, slots: number): void {
  const { words } = memory
  for (let client = 0; client < CLIENTS_MAX; client++) {
    if (Atomics.load(words, clientAt(client) + CLIENT_STATE_AT) !== CLIENT_FREE)
      ring(words, clientAt(client) + CLIENT_DOORBELL_AT)
  }
  for (let slot = 0; slot < slots; slot++) signalPartition(memory, slot)
}
