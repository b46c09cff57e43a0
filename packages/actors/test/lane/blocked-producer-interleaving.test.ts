import { afterAll, beforeAll, expect, it } from 'vitest'
import { blockUntilRung, ringIfWanted } from '#actors/lane/doorbell.js'
import {
  CLIENT_BLOCKED_FOR_AT,
  CLIENT_DOORBELL_AT,
  CLIENT_WORDS,
  clientAt,
  DOORBELL_AWAKE,
} from '#actors/memory/layout.js'
import { ringLaneOwner } from '#actors/writer/settlement.js'
import { explore, pretendWorkerThread } from '../support/interleave.js'

const CLIENT = 0
const OWN_LANE = 0
const OTHER_LANE = 1
const BELL = clientAt(CLIENT) + CLIENT_DOORBELL_AT
const BLOCKED_FOR = clientAt(CLIENT) + CLIENT_BLOCKED_FOR_AT
/** What a writer publishes of a lane: how often it made room in it. */
const ROOM = clientAt(CLIENT) + CLIENT_WORDS

let restore: () => void
beforeAll(() => {
  restore = pretendWorkerThread()
})
afterAll(() => restore())

function memory(): { words: Int32Array; explored: Int32Array } {
  const words = new Int32Array(ROOM + 2)
  return { words, explored: words.subarray(clientAt(CLIENT)) }
}

/** A writer's release of a lane, `times` over. */
const release = (words: Int32Array, lane: number, times: number) => (): void => {
  for (let time = 0; time < times; time++) {
    Atomics.add(words, ROOM + lane, 1)
    ringLaneOwner(words, CLIENT, lane)
  }
}

/** `Producer.waitForRoom`, for room that a lane gets so often. */
const block = (words: Int32Array, lane: number, times: number) => (): void => {
  for (let seen = 0; seen < times; seen++) {
    const hasRoom = (): boolean => Atomics.load(words, ROOM + lane) > seen
    while (!hasRoom()) {
      Atomics.store(words, BLOCKED_FOR, lane + 1)
      blockUntilRung(words, BELL, hasRoom)
      Atomics.store(words, BLOCKED_FOR, 0)
    }
  }
}

it('wakes a producer that is blocked for its lane, whatever another lane rings for', () => {
  const { words, explored } = memory()
  const states = explore({
    sides: [
      { name: 'producer', run: block(words, OWN_LANE, 1) },
      { name: 'writer', run: release(words, OWN_LANE, 1) },
      { name: 'other writer', run: release(words, OTHER_LANE, 1) },
    ],
    words: [explored],
    atEnd: () => {
      expect(words[BELL]).toBe(DOORBELL_AWAKE)
      expect(words[BLOCKED_FOR]).toBe(0)
    },
  })
  expect(states).toBeGreaterThan(300)
})

it('wakes a producer that blocks for one lane after the other, where one writer makes room in both', () => {
  const { words, explored } = memory()
  explore({
    sides: [
      {
        name: 'producer',
        run: () => {
          block(words, OWN_LANE, 2)()
          block(words, OTHER_LANE, 1)()
        },
      },
      {
        name: 'writer',
        run: () => {
          release(words, OTHER_LANE, 1)()
          release(words, OWN_LANE, 2)()
        },
      },
    ],
    words: [explored],
  })
})

it('lets a producer sleep that is blocked for another lane', () => {
  const { words, explored } = memory()
  const ends = () =>
    explore({
      sides: [
        { name: 'producer', run: block(words, OWN_LANE, 1) },
        { name: 'other writer', run: release(words, OTHER_LANE, 1) },
      ],
      words: [explored],
    })
  expect(ends).toThrow('a wake-up is lost')
})

it('would lose a wake-up if the producer said after its announcement what it waits for, which the search finds', () => {
  const { words, explored } = memory()
  // A former sleep was for the other lane.
  words[BLOCKED_FOR] = OTHER_LANE + 1
  const tooLate = (): void => {
    const hasRoom = (): boolean => Atomics.load(words, ROOM + OWN_LANE) > 0
    const looks = (): boolean => {
      const has = hasRoom()
      Atomics.store(words, BLOCKED_FOR, OWN_LANE + 1)
      return has
    }
    while (!hasRoom()) blockUntilRung(words, BELL, looks)
  }
  const wrong = {
    sides: [
      { name: 'producer', run: tooLate },
      { name: 'writer', run: release(words, OWN_LANE, 1) },
    ],
    words: [explored],
  }
  expect(() => explore(wrong)).toThrow('a wake-up is lost')
})

it('would lose a wake-up if the ringer read the wish before it published, which the search finds', () => {
  const { words, explored } = memory()
  const tooEarly = (): void => {
    ringIfWanted(words, BELL, BLOCKED_FOR, OWN_LANE + 1)
    Atomics.add(words, ROOM + OWN_LANE, 1)
  }
  const wrong = {
    sides: [
      { name: 'producer', run: block(words, OWN_LANE, 1) },
      { name: 'writer', run: tooEarly },
    ],
    words: [explored],
  }
  expect(() => explore(wrong)).toThrow('a wake-up is lost')
})
