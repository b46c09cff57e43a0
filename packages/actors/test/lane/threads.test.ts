import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Region } from '@walrus-log/core'
import { describe, expect, it } from 'vitest'
import { LaneReader } from '#actors/lane/lane-reader.js'
import { LaneWriter } from '#actors/lane/lane-writer.js'
import { AtomicWords, type LanePlace } from '#actors/lane/layout.js'
import { MESSAGE_FRAMING } from '#actors/message/message-lane.js'
import { replay, SEED } from '../support/seeded.js'
import { checkEntry, writeEntry } from '../workers/lane-traffic.js'
import { seededNumbers } from '../workers/seeded.js'

const ENTRY = new URL('../workers/lane-end.js', import.meta.url)
/** Words of one lane: its two positions and two doorbells, each on lines of its own. */
const TAIL_AT = 0
const HEAD_AT = 32
const RECEIVER_BELL = 64
const SENDER_BELL = 96

interface LaneMemory {
  words: Int32Array
  memory: SharedArrayBuffer
  place: LanePlace
  region: Region
}

function laneMemory(ringBytes: number, start: number): LaneMemory {
  const words = new Int32Array(new SharedArrayBuffer(128 * 4))
  words[TAIL_AT] = start
  words[HEAD_AT] = start
  const memory = new SharedArrayBuffer(ringBytes)
  return {
    words,
    memory,
    place: { ringAt: 0, ringBytes, tailAt: TAIL_AT, headAt: HEAD_AT },
    region: new Region(memory),
  }
}

function startEnd(
  role: 'send' | 'receive',
  { words, memory, place }: LaneMemory,
  traffic: { seed: number; entryBytesMax: number; count: number },
): Worker {
  return new Worker(ENTRY, {
    workerData: { role, words, memory, place, receiverBell: RECEIVER_BELL, senderBell: SENDER_BELL, ...traffic },
  })
}

describe('a lane between two threads', () => {
  it.each([
    { ringBytes: 64 * 1024, entryBytesMax: 64, count: 1_500_000, start: -1_000_000 },
    { ringBytes: 1024 * 1024, entryBytesMax: 2048, count: 300_000, start: 2 ** 31 - 1_000_000 },
    { ringBytes: 512, entryBytesMax: 256, count: 60_000, start: -50_000 },
    { ringBytes: 4096, entryBytesMax: 48, count: 400_000, start: 0 },
  ])(
    'brings $count entries of up to $entryBytesMax bytes through $ringBytes, once, in order and whole',
    async ({ ringBytes, entryBytesMax, count, start }) => {
      const lane = laneMemory(ringBytes, start)
      const traffic = { seed: SEED >>> 0, entryBytesMax, count }
      const ends = [startEnd('receive', lane, traffic), startEnd('send', lane, traffic)]
      const failed = Promise.all(ends.map((end) => once(end, 'exit'))).then(() => [-1])
      const errors = ends.map((end) => once(end, 'error').then(([error]) => Promise.reject(error)))
      try {
        const [sleeps] = await Promise.race([once(ends[0], 'message'), failed, ...errors])
        expect(sleeps, replay).toBeGreaterThanOrEqual(0)
      } catch (error) {
        throw new Error(`${(error as Error).message}; ${replay}`, { cause: error })
      } finally {
        await Promise.all(ends.map((end) => end.terminate()))
      }
      expect(lane.words[TAIL_AT]).toBe(lane.words[HEAD_AT])
    },
  )
})

describe('a sender that is ended in mid-write', () => {
  it('leaves whole entries only, does not touch its neighbour, and its lane can be gone on with', async () => {
    const random = seededNumbers(SEED)
    const lanes = [laneMemory(16 * 1024, 0), laneMemory(16 * 1024, -500)]
    const seeds = [1, 2]
    const traffic = (index: number) => ({ seed: seeds[index], entryBytesMax: 4096, count: 2 ** 31 - 1 })
    const senders = lanes.map((lane, index) => startEnd('send', lane, traffic(index)))
    const receivers = lanes.map((lane, index) => new CheckingReceiver(lane, seeds[index]))
    for (let round = 0; round < 10; round++) {
      const enough = receivers.map(({ received }) => received + 200 + random(2000))
      while (receivers.some(({ received }, index) => received < enough[index])) {
        for (const receiver of receivers) receiver.receive()
        await nextTurn()
      }
      // The thread is at some place of its loop, mostly in the middle of an entry.
      const dead = senders[0].terminate()
      while ((await Promise.race([dead, nextTurn(undefined)])) === undefined) receivers[1].receive()
      const { received: neighbour } = receivers[1]
      receivers[0].receive()
      const left = receivers[0].received
      receivers[0].receive()
      expect(receivers[0].received, replay).toBe(left)
      // Another sender takes the lane over where the dead one's last publication ended.
      seeds[0] += 2
      const writer = new LaneWriter(lanes[0].region, new AtomicWords(lanes[0].words), lanes[0].place, MESSAGE_FRAMING)
      const at = writer.claim(64)
      writeEntry(lanes[0].region, at, 64, seeds[0], 0)
      writer.publish(at + 64)
      receivers[0].restart(seeds[0])
      receivers[0].receive()
      expect(receivers[0].received, replay).toBe(1)
      while (receivers[1].received === neighbour) {
        receivers[1].receive()
        await nextTurn()
      }
      receivers[0].restart(seeds[0])
      senders[0] = startEnd('send', lanes[0], traffic(0))
    }
    await Promise.all(senders.map((sender) => sender.terminate()))
  })
})

/** Takes entries without waiting, and throws at the first that is not the next one of its seed. */
class CheckingReceiver {
  received = 0
  readonly #lane: LaneReader
  readonly #memory: LaneMemory
  #seed: number

  constructor(memory: LaneMemory, seed: number) {
    this.#memory = memory
    this.#seed = seed
    this.#lane = new LaneReader(memory.region, new AtomicWords(memory.words), memory.place, MESSAGE_FRAMING)
  }

  restart(seed: number): void {
    this.#seed = seed
    this.received = 0
  }

  receive(): void {
    const { region, words } = this.#memory
    this.#lane.look()
    for (let at = this.#lane.next(); at >= 0; at = this.#lane.next()) {
      checkEntry(region, at, region.u32[at >>> 2], this.#seed, this.received)
      this.received++
    }
    this.#lane.release()
    // The sender sleeps on a bell that a receiver without a loop of its own rings in any case.
    Atomics.store(words, SENDER_BELL, 0)
    Atomics.notify(words, SENDER_BELL)
  }
}
