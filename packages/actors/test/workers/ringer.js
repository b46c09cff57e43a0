import { workerData } from 'node:worker_threads'
import { ring } from '#actors/lane/doorbell.js'

// Adds to the work word and rings, as often as it was told.
const { words, bell, work, rings } = /** @type {{ words: Int32Array, bell: number, work: number, rings: number }} */ (
  workerData
)
for (let count = 0; count < rings; count++) {
  Atomics.add(words, work, 1)
  ring(words, bell)
}
