import { Region } from '@walrus-log/core'
import { describe, expect, it } from 'vitest'
import type { LanePlace } from '#actors/lane/layout.js'
import { MessageReceiver, MessageSender } from '#actors/message/message-lane.js'
import { check, fc } from '../support/seeded.js'

interface Pair {
  sender: MessageSender
  receiver: MessageReceiver
  region: Region
  rings: () => number
  rooms: () => number
}

function pair(ringBytes: number, start = 0): Pair {
  const words = new Int32Array(2).fill(start)
  const region = Region.allocate(ringBytes)
  const place: LanePlace = { ringAt: 0, ringBytes, tailAt: 0, headAt: 1 }
  let rings = 0
  let rooms = 0
  const sender = new MessageSender(region, words, place, () => rings++)
  const receiver = new MessageReceiver(region, words, place, () => rooms++)
  return { sender, receiver, region, rings: () => rings, rooms: () => rooms }
}

/** Sends, and receives until nothing is left. */
function roundTrip({ sender, receiver }: Pair, messages: readonly unknown[]): unknown[] {
  const received: unknown[] = []
  for (const message of messages) sender.send(message)
  for (let more = true; more; ) {
    received.push(...receiver.receive())
    more = sender.flush()
  }
  received.push(...receiver.receive())
  return received
}

describe('a message lane', () => {
  it.each([
    ['undefined', undefined],
    ['null', null],
    ['a property that is undefined', { a: undefined, b: 1 }],
    [
      'a map with keys of any kind',
      new Map<unknown, unknown>([
        [1, 'one'],
        ['two', new Map([[{ deep: 1 }, 2]])],
        [null, undefined],
      ]),
    ],
    ['a map without entries', new Map()],
    ['a set', new Set([1, 'two', 3n, null])],
    ['a date with milliseconds', new Date(1_700_000_000_123)],
    ['a date before 1970', new Date(-1)],
    ['large numbers', [2 ** 53 - 1, -(2 ** 53) + 1, 1e300, 0.1, Number.NaN, Number.POSITIVE_INFINITY]],
    ['bigints', [0n, -1n, 2n ** 63n, -(2n ** 64n), 2n ** 200n]],
    ['bytes', new Uint8Array([1, 2, 3])],
    [
      'typed arrays',
      [new Float64Array([1.5, -2]), new Int16Array([-1]), new BigInt64Array([-1n]), new Uint32Array([0xffff_ffff])],
    ],
    ['an array buffer', new Uint8Array([9, 8]).buffer],
    ['a text with every plane', 'aé漢🜁\u0000'.repeat(50)],
    ['a regular expression', /a+/giu],
    ['an empty object and an empty array', [{}, []]],
    [
      'an object with a great many keys',
      Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`key ${index}`, { [`x${index}`]: index }])),
    ],
  ])('brings %s as it was', (_name, value) => {
    const [received, ...more] = roundTrip(pair(64 * 1024), [value])
    expect(more).toEqual([])
    if (value instanceof Uint8Array) expect(new Uint8Array(received as Uint8Array)).toEqual(value)
    else expect(received).toStrictEqual(value)
  })

  it('brings what JSON can say, in any order of shapes, through a ring of any size', () => {
    // The packer renames this one key, see below.
    const value = fc.jsonValue({ maxDepth: 4 }).filter((json) => !JSON.stringify(json).includes('"__proto__"'))
    const messages = fc.array(value, { maxLength: 30 })
    check(
      fc.record({
        messages,
        ringBytes: fc.constantFrom(256, 1024, 32 * 1024),
        start: fc.constantFrom(0, -3, 2 ** 31 - 7),
      }),
      ({ messages, ringBytes, start }) => {
        const expected = messages.map(plain)
        expect(roundTrip(pair(ringBytes, start), expected)).toEqual(expected)
      },
    )
  })

  it('lets no message set a prototype: the key that would arrives under another name', () => {
    const [received] = roundTrip(pair(1024), [JSON.parse('{"__proto__": {"evil": 1}}')]) as [object]
    expect(Object.getPrototypeOf(received)).toBe(Object.prototype)
    expect(JSON.stringify(received)).toBe('{"__proto_":{"evil":1}}')
  })

  it('sends long messages in parts, in order, while the receiver makes room', () => {
    const lanes = pair(32 * 1024)
    const messages = [
      new Uint8Array(300_000).fill(7),
      'between',
      new Uint8Array(8 * 1024 - 16).fill(1),
      new Uint8Array(8 * 1024).fill(2),
      'end',
    ]
    const lengths = roundTrip(lanes, messages).map((message) => (message as Uint8Array | string).length)
    expect(lengths).toEqual([300_000, 7, 8 * 1024 - 16, 8 * 1024, 3])
  })

  it('fits the smallest ring', () => {
    const text = 'x'.repeat(10_000)
    expect(roundTrip(pair(256), [text, 1, text])).toEqual([text, 1, text])
  })

  it('keeps what has no room in its own thread, and says so until it is sent', () => {
    const { sender, receiver, rings, rooms } = pair(1024)
    for (let number = 0; number < 200; number++) sender.send(number)
    const rung = rings()
    expect(sender.flush()).toBe(true)
    // Nothing was sent, so nobody was woken.
    expect(rings()).toBe(rung)
    const received = receiver.receive()
    expect(received.length).toBeGreaterThan(10)
    expect(rooms()).toBe(1)
    while (sender.flush()) received.push(...receiver.receive())
    received.push(...receiver.receive())
    expect(received).toEqual(Array.from({ length: 200 }, (_, number) => number))
    expect(sender.flush()).toBe(false)
    // And nobody is woken for room where nothing came.
    const before = rooms()
    expect(receiver.receive()).toEqual([])
    expect(rooms()).toBe(before)
  })

  it('gives messages in memory of their own: the ring may be written over', () => {
    const { sender, receiver, region } = pair(1024)
    sender.send({ bytes: new Uint8Array([1, 2, 3]), doubles: new Float64Array([4.5]) })
    const [message] = receiver.receive() as [{ bytes: Uint8Array; doubles: Float64Array }]
    region.u8.fill(0xff)
    expect([...message.bytes, ...message.doubles]).toEqual([1, 2, 3, 4.5])
  })

  it('takes a message as it is when it is sent, not as it is when there is room for it', () => {
    const { sender, receiver } = pair(256)
    const message = { n: 1, text: 'y'.repeat(80) }
    for (let sent = 0; sent < 4; sent++) sender.send(message)
    message.n = 2
    const received: unknown[] = []
    do received.push(...receiver.receive())
    while (sender.flush() || received.length < 4)
    expect(received).toEqual(Array.from({ length: 4 }, () => ({ ...message, n: 1 })))
  })
})

/** Without what JSON itself changes: the sign of zero, and prototypes. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
