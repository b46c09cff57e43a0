import { BATCH_HEADER_BYTES, Region } from '@walrus-log/core'
import { describe, expect, it } from 'vitest'
import { LaneReader } from '#actors/lane/lane-reader.js'
import { LaneWriter } from '#actors/lane/lane-writer.js'
import { AtomicWords, KIND_PADDING, type LaneFraming, type LanePlace } from '#actors/lane/layout.js'
import {
  KIND_REFERENCE,
  RECORD_FRAMING,
  referencedAt,
  referencedBytes,
  writeReference,
} from '#actors/lane/record-lane.js'
import { MESSAGE_FRAMING } from '#actors/message/message-lane.js'
import { check, fc } from '../support/seeded.js'

const KIND = 0x1234_5678
/** Bytes around the ring that nobody may touch. */
const GUARD_BYTES = 64
const GUARD = 0xa5

type Operation = { do: 'send' | 'sendLargest'; units: number } | { do: 'look' | 'next' | 'release' | 'drain' }

interface Case {
  ringBytes: number
  start: number
  framing: LaneFraming
  operations: Operation[]
}

/** A lane, and beside it the queue that it has to be. */
class ModelledLane {
  readonly words = new Int32Array(2)
  readonly writer: LaneWriter
  readonly reader: LaneReader
  readonly region: Region
  readonly place: LanePlace
  readonly framing: LaneFraming
  /** Sent and not yet given by `next`; given and not yet released. */
  readonly queued: { at: number; bytes: number; mark: number }[] = []
  readonly held: { at: number; bytes: number; mark: number }[] = []
  #looked = 0
  #mark = 0

  constructor({ ringBytes, start, framing }: Omit<Case, 'operations'>) {
    const words = this.words.fill(start)
    this.place = { ringAt: GUARD_BYTES, ringBytes, tailAt: 0, headAt: 1 }
    this.framing = framing
    this.region = Region.allocate(ringBytes + 2 * GUARD_BYTES)
    this.region.u8.fill(GUARD, 0, GUARD_BYTES)
    this.region.u8.fill(GUARD, GUARD_BYTES + ringBytes)
    this.writer = new LaneWriter(this.region, new AtomicWords(words), this.place, framing)
    this.reader = new LaneReader(this.region, new AtomicWords(words), this.place, framing)
  }

  send(bytes: number): boolean {
    const at = this.writer.claim(bytes)
    if (at < 0) return false
    const { ringAt, ringBytes } = this.place
    expect(at).toBeGreaterThanOrEqual(ringAt)
    expect(at + bytes).toBeLessThanOrEqual(this.writer.limit)
    expect(this.writer.limit).toBeLessThanOrEqual(ringAt + ringBytes)
    for (const other of [...this.held, ...this.queued]) {
      if (at < other.at + other.bytes && other.at < this.writer.limit)
        throw new Error(`[${at}, ${this.writer.limit}) is still the entry's at ${other.at}`)
    }
    const mark = ++this.#mark & 0xff
    this.region.u8.fill(mark, at, at + bytes)
    const frame = (at + this.framing.frameAt) >>> 2
    this.region.u32[frame] = bytes
    this.region.u32[frame + 1] = KIND
    this.writer.publish(at + bytes)
    this.queued.push({ at, bytes, mark })
    return true
  }

  look(): void {
    expect(this.reader.look()).toBe(this.queued.length > 0)
    this.#looked = this.queued.length
  }

  next(): boolean {
    const at = this.reader.next()
    if (this.#looked === 0) {
      expect(at).toBe(-1)
      return false
    }
    this.#looked--
    const entry = this.queued.shift()!
    expect(at).toBe(entry.at)
    this.held.push(entry)
    this.#checkHeld()
    return true
  }

  release(): void {
    this.#checkHeld()
    this.reader.release()
    this.held.length = 0
  }

  drain(): void {
    this.look()
    while (this.next()) {}
    this.release()
  }

  /** What the receiver holds is whole until it lets go. */
  #checkHeld(): void {
    for (const { at, bytes, mark } of this.held) {
      const frame = at + this.framing.frameAt
      expect([this.region.u32[frame >>> 2], this.region.u32[(frame >>> 2) + 1]]).toEqual([bytes, KIND])
      for (let byte = at; byte < at + bytes; byte++) {
        if ((byte < frame || byte >= frame + 8) && this.region.u8[byte] !== mark)
          throw new Error(`byte ${byte} of the entry at ${at} has changed`)
      }
    }
  }

  checkGuards(): void {
    const { u8 } = this.region
    const end = GUARD_BYTES + this.place.ringBytes
    expect([...u8.subarray(0, GUARD_BYTES), ...u8.subarray(end)].every((byte) => byte === GUARD)).toBe(true)
  }

  run(operations: readonly Operation[]): void {
    const { entryBytesMax } = this.writer
    for (const operation of operations) {
      if (operation.do === 'send') this.send(Math.min(this.framing.entryBytesMin + operation.units * 8, entryBytesMax))
      else if (operation.do === 'sendLargest') this.send(entryBytesMax)
      else this[operation.do]()
      const free = this.writer.freeBytes()
      expect(free).toBeGreaterThanOrEqual(0)
      expect(free).toBeLessThanOrEqual(this.place.ringBytes)
    }
    this.checkGuards()
  }
}

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), units: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sendLargest' as const), units: fc.constant(0) }) },
  { weight: 3, arbitrary: fc.constant({ do: 'look' as const }) },
  { weight: 6, arbitrary: fc.constant({ do: 'next' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'release' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'drain' as const }) },
)
const start = fc.oneof(
  fc.constantFrom(0, -1, -4, -40, 2 ** 31 - 1, 2 ** 31 - 5, 2 ** 31 - 40, -(2 ** 31)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
)

const framings: [string, LaneFraming][] = [
  ['records', RECORD_FRAMING],
  ['messages', MESSAGE_FRAMING],
]

describe.each(framings)('a lane of %s', (_name, framing) => {
  const place = fc.record({ ringBytes: fc.constantFrom(256, 512, 1024), start, framing: fc.constant(framing) })

  it('is a queue of whole entries that never overwrites what is not released', () => {
    check(
      fc.record({ place, operations: fc.array(operation, { maxLength: 200 }) }),
      ({ place, operations }) => new ModelledLane(place).run(operations),
      400,
    )
  })

  it('has room for the largest entry whenever the receiver has released everything, wherever that is', () => {
    check(
      fc.record({ place, operations: fc.array(operation, { maxLength: 80 }) }),
      ({ place, operations }) => {
        const lane = new ModelledLane(place)
        lane.run(operations)
        for (let round = 0; round < 5; round++) {
          lane.drain()
          expect(lane.send(lane.writer.entryBytesMax)).toBe(true)
        }
      },
      300,
    )
  })

  it('takes an entry that ends exactly at the end of the ring, at every distance from it', () => {
    for (let before = framing.entryBytesMin; before <= 128; before += 8) {
      const lane = new ModelledLane({ ringBytes: 256, start: -(256 - before) / 8, framing })
      const last = 256 - before
      if (last < framing.entryBytesMin || last > lane.writer.entryBytesMax) continue
      expect(lane.send(last)).toBe(true)
      expect(lane.send(framing.entryBytesMin)).toBe(true)
      lane.drain()
      expect(lane.held).toHaveLength(0)
      lane.checkGuards()
    }
  })

  it('passes over what is left at the end, from nothing to 8 bytes less than the next entry needs', () => {
    const next = 128
    for (let left = 0; left < next; left += 8) {
      // The lane begins `left` bytes before the ring's end.
      const lane = new ModelledLane({ ringBytes: 256, start: (256 - left) / 8, framing })
      expect(lane.send(next)).toBe(true)
      expect(lane.queued[0].at).toBe(lane.place.ringAt)
      expect(lane.writer.freeBytes()).toBe(256 - left - next)
      if (left >= framing.entryBytesMin) {
        const frame = (lane.place.ringAt + 256 - left + framing.frameAt) >>> 2
        expect([...lane.region.u32.subarray(frame, frame + 2)]).toEqual([left, KIND_PADDING])
      }
      lane.drain()
      expect(lane.writer.freeBytes()).toBe(256)
      lane.checkGuards()
    }
  })

  it('changes nothing where it is full, and can be filled to the last byte', () => {
    const lane = new ModelledLane({ ringBytes: 512, start: 2 ** 31 - 64, framing })
    for (let sent = 0; sent < 4; sent++) expect(lane.send(128)).toBe(true)
    expect(lane.writer.freeBytes()).toBe(0)
    for (let attempt = 0; attempt < 3; attempt++) expect(lane.send(framing.entryBytesMin)).toBe(false)
    lane.drain()
    expect(lane.send(256)).toBe(true)
  })

  it('lets several entries be published at once, up to `limit`, which `extend` moves on', () => {
    const lane = new ModelledLane({ ringBytes: 1024, start: 0, framing })
    const { region, writer, reader, place } = lane
    for (let sent = 0; sent < 7; sent++) lane.send(128)
    const at = writer.claim(128)
    expect(writer.limit - at).toBe(128)
    lane.look()
    for (let taken = 0; taken < 7; taken++) lane.next()
    lane.release()
    writer.extend(at)
    // Up to the end of the ring, not beyond.
    expect(writer.limit).toBe(place.ringAt + 1024)
    writer.publish(at)
    expect(reader.look()).toBe(false)
    const again = writer.claim(96)
    const frame = (again + framing.frameAt) >>> 2
    region.u32[frame] = 96
    region.u32[frame + 1] = KIND
    writer.publish(again + 96)
    reader.look()
    expect(reader.next()).toBe(again)
  })

  it('refuses an entry of more than half the ring, which would wait for ever', () => {
    const lane = new ModelledLane({ ringBytes: 256, start: 0, framing })
    expect(() => lane.writer.claim(136)).toThrow('half of its ring')
  })

  it('throws where the bytes in the ring are no entry, and does not walk over them', () => {
    for (const length of [0, framing.entryBytesMin - 8, framing.entryBytesMin + 4, 264]) {
      const lane = new ModelledLane({ ringBytes: 256, start: 0, framing })
      lane.send(96)
      lane.region.u32[(lane.place.ringAt + framing.frameAt) >>> 2] = length
      lane.reader.look()
      expect(() => lane.reader.next()).toThrow(`an entry of ${length} bytes`)
      expect(lane.reader.cursor).toBe(0)
    }
  })
})

describe('a lane that is handed on', () => {
  it('is gone on with by a new sender and a new receiver where the shared words say', () => {
    const lane = new ModelledLane({ ringBytes: 512, start: -10, framing: MESSAGE_FRAMING })
    lane.send(128)
    lane.send(64)
    lane.look()
    lane.next()
    // Both ends die: the receiver before it released.
    const words = new AtomicWords(lane.words)
    const reader = new LaneReader(lane.region, words, lane.place, MESSAGE_FRAMING)
    const writer = new LaneWriter(lane.region, words, lane.place, MESSAGE_FRAMING)
    const paddingBytes = 80
    expect(writer.freeBytes()).toBe(512 - paddingBytes - 192)
    reader.look()
    expect([reader.next(), reader.next(), reader.next()]).toEqual([lane.held[0].at, lane.queued[0].at, -1])
  })

  it('carries a reference to a batch elsewhere as an entry of the size of a header', () => {
    const lane = new ModelledLane({ ringBytes: 512, start: 0, framing: RECORD_FRAMING })
    const at = lane.writer.claim(BATCH_HEADER_BYTES)
    writeReference(lane.region, at, 0xfff8_0000, 0x8000_0008)
    lane.writer.publish(at + BATCH_HEADER_BYTES)
    lane.reader.look()
    expect(lane.reader.next()).toBe(at)
    expect(lane.region.u32[((at + RECORD_FRAMING.frameAt) >>> 2) + 1]).toBe(KIND_REFERENCE)
    expect([referencedAt(lane.region, at), referencedBytes(lane.region, at)]).toEqual([0xfff8_0000, 0x8000_0008])
  })
})
