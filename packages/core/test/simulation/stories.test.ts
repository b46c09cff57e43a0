import { describe, expect, it } from 'vitest'
import type { Action } from '../model/commands.js'
import { runActions } from '../model/run-model.js'

/** Whatever a loss of power leaves, as far as so many seeds tell. */
const SEEDS = 20

/** Runs a story once with each seed, and with each number from 0 on until `end` as its `calls`. */
function everyTime(end: number, story: (calls: number) => Action[]): void {
  for (let calls = 0; calls < end; calls++) {
    for (let seed = 0; seed < SEEDS; seed++) {
      expect(() => runActions(story(calls), seed, () => {}), `calls ${calls}, seed ${seed}`).not.toThrow()
    }
  }
}

describe('a log in a story that once broke a promise', () => {
  it('does not bring back what a process cut as it died, once the next one has opened without it', () => {
    everyTime(8, (calls) => [
      { type: 'create', topic: 0, partitions: 1, isPowerSafe: true, segmentEntries: 2 },
      { type: 'append', topic: 0, records: 1, bytes: 0, time: 0 },
      // In a second segment, so that the name of the first is durable.
      { type: 'append', topic: 0, records: 2, bytes: 0, time: 0 },
      { type: 'write back' },
      { type: 'die after', calls, isPowerLost: false },
      { type: 'take back', topic: 0 },
      // The files are gone for who looks, and the disk may have them still.
      { type: 'lose power', mode: 'strict' },
    ])
  })
})
