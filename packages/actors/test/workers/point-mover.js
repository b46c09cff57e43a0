import { parentPort, workerData } from 'node:worker_threads'
import { PARTITION_WRITTEN_AT, PARTITION_WRITTEN_SELECT_AT, partitionAt } from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'

// Moves a point as fast as it can, until it has been told to stop; its three parts belong together.
const { buffers, slot, stop, movesMin } =
  /** @type {{ buffers: import('#actors/memory/shared-memory.js').SharedBuffers, slot: number, stop: Int32Array, movesMin: number }} */ (
    workerData
  )
const memory = new SharedMemory(buffers)
const at = partitionAt(slot)
let moves = 0
while (moves < movesMin || Atomics.load(stop, 0) === 0) {
  moves++
  memory.writePoint(at + PARTITION_WRITTEN_SELECT_AT, at + PARTITION_WRITTEN_AT, moves, moves * 3, 2 ** 52 + moves)
}
parentPort?.postMessage(moves)
