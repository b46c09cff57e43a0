import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { WalrusError } from '@walrus-log/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EventedDoorbell, ring } from '#actors/lane/doorbell.js'
import {
  CLIENT_DOORBELL_AT,
  CLIENT_RING_BYTES_AT,
  CLIENT_RINGS_AT,
  clientAt,
  HEADER_STATE_AT,
  STATE_CLOSED,
} from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { CONTROL_RING_BYTES, type ControlConnection, callHost } from '#actors/message/control-channel.js'

/** What `workers/message-peer.js` answers. */
interface Peer {
  echo<Value>(value: Value): Promise<Value>
  sum(...numbers: number[]): Promise<number>
  bytes(bytes: number): Promise<Uint8Array>
  fail(): Promise<never>
  never(): Promise<never>
}

const CLIENT = 1
const closed = (): Error => new Error('the other end is closed')

describe('calls over two lanes to another thread', () => {
  const memory = SharedMemory.allocate(2 * 1024 * 1024)
  const doorbellAt = clientAt(CLIENT) + CLIENT_DOORBELL_AT
  const doorbell = new EventedDoorbell(memory.words, doorbellAt)
  let peer: Worker
  let connection: ControlConnection<Peer>
  let calls: Peer

  beforeAll(async () => {
    memory.words[clientAt(CLIENT) + CLIENT_RINGS_AT] = memory.chunks.take(2 * CONTROL_RING_BYTES)
    memory.words[clientAt(CLIENT) + CLIENT_RING_BYTES_AT] = CONTROL_RING_BYTES
    peer = new Worker(new URL('../workers/message-peer.js', import.meta.url), {
      workerData: { buffers: memory.buffers, client: CLIENT },
    })
    await once(peer, 'message')
    connection = callHost<Peer>(memory, CLIENT, doorbell, closed)
    calls = connection.calls
  })

  afterAll(async () => {
    doorbell.close()
    await peer.terminate()
  })

  it('give what the other thread returned', async () => {
    expect(await calls.sum(1, 2, 3)).toBe(6)
    const value = {
      map: new Map([['a', new Set([1n])]]),
      at: new Date(5),
      none: undefined,
      numbers: new Float64Array([0.5]),
    }
    expect(await calls.echo(value)).toStrictEqual(value)
    expect(await calls.echo(undefined)).toBe(undefined)
  })

  it('reject with the other thread`s error, its code, fields and cause', async () => {
    const error = await calls.fail().catch((reason) => reason)
    expect(error).toBeInstanceOf(WalrusError)
    expect(error).toMatchObject({
      code: 'SEGMENT_POISONED',
      offset: 12,
      cause: { code: 'EIO', message: 'EIO: i/o error' },
    })
    const unknown = (calls as unknown as { nothing(): Promise<void> }).nothing()
    await expect(unknown).rejects.toThrow('not a function')
  })

  it('may be under way by the thousand, and each gets its own answer', async () => {
    const numbers = Array.from({ length: 3000 }, (_, number) => number)
    expect(await Promise.all(numbers.map((number) => calls.sum(number, 1)))).toEqual(
      numbers.map((number) => number + 1),
    )
  })

  it('carry arguments and answers that are many times as long as the lanes, both ways at once', async () => {
    const text = 'lane '.repeat(40_000)
    const [echoed, ...all] = await Promise.all([
      calls.echo(text),
      ...[700_000, 10, 200_000].map((bytes) => calls.bytes(bytes)),
    ])
    expect(echoed).toBe(text)
    expect(all.map((bytes) => bytes.length)).toEqual([700_000, 10, 200_000])
    expect(all[2].every((byte) => byte === (200_000 & 0xff))).toBe(true)
  })

  it('keep the loop alive only while one is under way', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = timers()
    const call = calls.sum(1)
    expect(timers()).toBe(before + 1)
    await call
    expect(timers()).toBe(before)
  })

  it('reject when the log is closed under them', async () => {
    const call = calls.never()
    Atomics.store(memory.words, HEADER_STATE_AT, STATE_CLOSED)
    ring(memory.words, doorbellAt)
    await expect(call).rejects.toThrow('the other end is closed')
  })
})
