import { parentPort, workerData } from 'node:worker_threads'
import { Arena } from '#actors/memory/arena.js'
import { ARENA_CHUNK_BYTES } from '#actors/memory/layout.js'
import { seededNumbers } from './seeded.js'

// Takes and gives runs of all sizes, and notes in shared words whose each chunk is: nobody may find it another's.
const { words, owners, bytes, id, seed, rounds } = workerData
const arena = new Arena(words, bytes)
const random = seededNumbers(seed + id)
/** @type {{ at: number, bytes: number }[]} */
const held = []
let taken = 0
let refused = 0

for (let round = 0; round < rounds; round++) {
  if (held.length > 0 && (held.length > 6 || random(2) === 0)) give(held.splice(random(held.length), 1)[0])
  else take()
}
for (const run of held) give(run)
parentPort?.postMessage({ taken, refused })

function take() {
  // Mostly short runs; one in sixteen is longer than a word of bits.
  const chunks = random(16) === 0 ? 33 + random(40) : 1 + random(12)
  const runBytes = chunks * ARENA_CHUNK_BYTES - random(ARENA_CHUNK_BYTES)
  const at = arena.take(runBytes)
  if (at < 0) {
    refused++
    return
  }
  taken++
  mark(at, runBytes, 0, id)
  held.push({ at, bytes: runBytes })
}

/** @param {{ at: number, bytes: number }} run */
function give(run) {
  mark(run.at, run.bytes, id, 0)
  arena.give(run.at, run.bytes)
}

/** @param {number} at @param {number} runBytes @param {number} from @param {number} to */
function mark(at, runBytes, from, to) {
  if (at + runBytes > bytes) throw new Error(`[${at}, ${at + runBytes}) is outside the arena`)
  for (let chunk = at / ARENA_CHUNK_BYTES; chunk < (at + runBytes) / ARENA_CHUNK_BYTES; chunk++) {
    const found = Atomics.compareExchange(owners, chunk, from, to)
    if (found !== from) throw new Error(`chunk ${chunk} is ${found}'s, ${from} was expected`)
  }
}
