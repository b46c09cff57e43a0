import { describe, expect, it } from 'vitest'
import { LaneReader } from '#actors/lane/lane-reader.js'
import { LaneWriter } from '#actors/lane/lane-writer.js'
import { AtomicWords, type LaneFraming, type LanePlace } from '#actors/lane/layout.js'
import { explore, steppedRegion } from '../support/interleave.js'

const FRAMING: LaneFraming = { frameAt: 0, entryBytesMin: 16 }
const KIND = 7
const place: LanePlace = { ringAt: 64, ringBytes: 256, tailAt: 0, headAt: 1 }

interface Scenario {
  sizes: number[]
  tries: number
  looks: number
  start: number
  stores: 'at-once' | 'late'
}

/** Every order of one sender's and one receiver's accesses; what arrives must be a prefix of what was sent, whole. */
function exploreLane({ sizes, tries, looks, start, stores }: Scenario): { states: number; ends: Set<string> } {
  const words = new Int32Array(2).fill(start)
  const memory = new Uint32Array((place.ringAt + place.ringBytes) / 4)
  const region = steppedRegion(memory)
  const ends = new Set<string>()
  const sender = (): number => {
    const lane = new LaneWriter(region, new AtomicWords(words), place, FRAMING)
    let sent = 0
    for (let attempt = 0; attempt < tries && sent < sizes.length; attempt++) {
      const at = lane.claim(sizes[sent])
      if (at < 0) continue
      const word = at >>> 2
      region.u32[word] = sizes[sent]
      region.u32[word + 1] = KIND
      region.u32[word + 2] = sent + 1
      // The last word of the entry: what is torn would not have it.
      region.u32[word + sizes[sent] / 4 - 1] = sent + 1
      lane.publish(at + sizes[sent])
      sent++
    }
    return sent
  }
  const receiver = (): number => {
    const lane = new LaneReader(region, new AtomicWords(words), place, FRAMING)
    let received = 0
    for (let look = 0; look < looks; look++) {
      if (!lane.look()) continue
      for (let at = lane.next(); at >= 0; at = lane.next()) {
        const word = at >>> 2
        const size = region.u32[word]
        const entry = [size, region.u32[word + 1], region.u32[word + 2], region.u32[word + size / 4 - 1]]
        received++
        expect(entry).toEqual([sizes[received - 1], KIND, received, received])
      }
      lane.release()
    }
    return received
  }
  const states = explore({
    sides: [
      { name: 'sender', run: sender },
      { name: 'receiver', run: receiver },
    ],
    words: [words],
    region: memory,
    stores,
    atEnd: ([sent, received]) => {
      ends.add(`${sent} sent, ${received} received`)
      expect(received).toBeLessThanOrEqual(sent as number)
    },
  })
  return { states, ends }
}

describe.each(['at-once', 'late'] as const)(
  'one lane under every interleaving of its two threads, stores seen %s',
  (stores) => {
    it.each([0, 2 ** 31 - 9, -9])(
      'keeps entries whole and in order while the ring wraps, from position %i on',
      (start) => {
        const { states, ends } = exploreLane({ sizes: [96, 128, 24, 128], tries: 7, looks: 5, start, stores })
        expect(states).toBeGreaterThan(300)
        // Both extremes happen: a receiver that sees all, and one that always comes too early.
        expect(ends).toContain('4 sent, 4 received')
        expect([...ends].some((end) => end.endsWith(' 0 received'))).toBe(true)
      },
    )

    it('never lets a sender write over what the receiver has not released, in a ring that is always full', () => {
      const { ends } = exploreLane({ sizes: [128, 128, 128, 128], tries: 6, looks: 4, start: 0, stores })
      expect(ends).toContain('4 sent, 4 received')
    })

    it('skips what is left before the end, whether a padding entry fits there or not', () => {
      for (const first of [120, 104]) {
        const { ends } = exploreLane({ sizes: [first, 128, 128], tries: 5, looks: 3, start: 0, stores })
        expect(ends).toContain('3 sent, 3 received')
      }
    })
  },
)

describe('the search itself', () => {
  it('finds a sender that publishes before it has written', () => {
    const words = new Int32Array(1)
    const memory = new Uint32Array(1)
    const { u32 } = steppedRegion(memory)
    const sender = (): void => {
      Atomics.store(words, 0, 1)
      u32[0] = 5
      Atomics.store(words, 0, 1)
    }
    const receiver = (): void => {
      if (Atomics.load(words, 0) === 1) expect(u32[0]).toBe(5)
    }
    const wrong = {
      sides: [
        { name: 's', run: sender },
        { name: 'r', run: receiver },
      ],
      words: [words],
      region: memory,
    }
    expect(() => explore({ ...wrong, stores: 'late' })).toThrow('s: store 0:0 (1) = 1\n  r: load 0:0 = 1')
    // Where plain stores are seen at once, the two stand in one step, and nothing is found.
    expect(() => explore({ ...wrong, stores: 'at-once' })).not.toThrow()
  })

  it('finds two threads that add without an exchange', () => {
    const words = new Int32Array(1)
    const run = (): void => void Atomics.store(words, 0, Atomics.load(words, 0) + 1)
    const atEnd = (): void => expect(words[0]).toBe(2)
    expect(() =>
      explore({
        sides: [
          { name: 'a', run },
          { name: 'b', run },
        ],
        words: [words],
        atEnd,
      }),
    ).toThrow('after')
    const sound = (): void => void Atomics.add(words, 0, 1)
    expect(
      explore({
        sides: [
          { name: 'a', run: sound },
          { name: 'b', run: sound },
        ],
        words: [words],
        atEnd,
      }),
    ).toBeGreaterThan(3)
  })
})
