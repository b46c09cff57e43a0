import { expose, type Remote, wrap } from 'comlink'
import { type EventedDoorbell, ring } from '../lane/doorbell.js'
import type { LanePlace } from '../lane/layout.js'
import {
  ARENA_CHUNK_BYTES,
  CLIENT_DOORBELL_AT,
  CLIENT_FROM_HOST_HEAD_AT,
  CLIENT_FROM_HOST_TAIL_AT,
  CLIENT_RING_BYTES_AT,
  CLIENT_RINGS_AT,
  CLIENT_TO_HOST_HEAD_AT,
  CLIENT_TO_HOST_TAIL_AT,
  clientAt,
  HOST_CLIENT,
} from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { EncodedError } from '../writer/messages.js'
import { decodeError, encodeError } from './error-codec.js'
import { LaneEndpoint } from './lane-endpoint.js'
import { MessageReceiver, MessageSender } from './message-lane.js'

/** One direction's ring; the two lie one behind the other in one run of the arena. */
export const CONTROL_RING_BYTES = ARENA_CHUNK_BYTES / 2

/** A call's outcome as a value: comlink itself keeps neither the code nor the fields of an error. */
type Outcome = { ok: true; value: unknown } | { ok: false; error: EncodedError }

interface CallTarget {
  call(name: string, args: unknown[]): Promise<Outcome>
}

/** The host's end of a client's control lanes: answers calls of `target`'s methods. */
export function answerClient(memory: SharedMemory, client: number, target: object): LaneEndpoint {
  const endpoint = endpointOf(memory, client, 'host')
  const methods = target as Record<string, (...args: unknown[]) => unknown>
  const answers: CallTarget = {
    async call(name, args) {
      try {
        return { ok: true, value: await methods[name](...args) }
      } catch (error) {
        return { ok: false, error: encodeError(error) }
      }
    },
  }
  expose(answers, endpoint)
  return endpoint
}

export interface ControlConnection<Calls> {
  calls: Calls
  /** Whether all calls are answered: before that, the host may still write into the lanes. */
  isIdle(): boolean
  /** Waits until it is so, or the log is closed, and calls no more. The doorbell has to be open still. */
  close(): Promise<void>
}

/** A client's end: an object whose methods are the host's, called over the lanes. Rejects with the host's own errors. */
export function callHost<Calls extends object>(
  memory: SharedMemory,
  client: number,
  doorbell: EventedDoorbell,
  onClosed: () => Error,
): ControlConnection<Calls> {
  const endpoint = endpointOf(memory, client, 'client')
  const remote = wrap<CallTarget>(endpoint) as Remote<CallTarget>
  const open = new Set<(error: Error) => void>()
  const unanswered = new Set<Promise<unknown>>()
  let end: () => void = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const waiter = {
    poll(): boolean {
      endpoint.poll()
      if (memory.isClosed) {
        for (const reject of [...open]) reject(onClosed())
        end()
      }
      return open.size > 0
    },
  }
  let isOver = false
  const call = (name: string, args: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      // Nobody would take the answer.
      if (isOver) return reject(onClosed())
      // A call whose peer is gone never settles by itself: it is raced against the end of the log.
      const fail = (error: Error): void => {
        open.delete(fail)
        reject(error)
      }
      open.add(fail)
      const answer = remote.call(name, args)
      unanswered.add(answer)
      answer
        .finally(() => unanswered.delete(answer))
        .then(
          (outcome) => {
            open.delete(fail)
            // The poll that brought the answer came before this, and no other may follow: the bell is told now.
            if (open.size === 0 && !doorbell.isClosed) doorbell.add(waiter)
            if (outcome.ok) resolve(outcome.value)
            else reject(decodeError(outcome.error))
          },
          (error) => fail(error as Error),
        )
      doorbell.add(waiter)
    })
  const calls = new Proxy({} as Calls, {
    get: (_target, name) =>
      typeof name === 'string' && name !== 'then' ? (...args: unknown[]) => call(name, args) : undefined,
  })
  return {
    calls,
    isIdle: () => unanswered.size === 0,
    async close() {
      while (unanswered.size > 0 && !memory.isClosed) await Promise.race([...unanswered, ended])
      isOver = true
      // comlink tells the other side when it collects the proxy, whenever that is.
      endpoint.close()
    },
  }
}

function endpointOf(memory: SharedMemory, client: number, side: 'host' | 'client'): LaneEndpoint {
  const { words, arena } = memory
  const at = clientAt(client)
  const ringsAt = words[at + CLIENT_RINGS_AT]
  const ringBytes = words[at + CLIENT_RING_BYTES_AT]
  const toHost: LanePlace = {
    ringAt: ringsAt,
    ringBytes,
    tailAt: at + CLIENT_TO_HOST_TAIL_AT,
    headAt: at + CLIENT_TO_HOST_HEAD_AT,
  }
  const fromHost: LanePlace = {
    ringAt: ringsAt + ringBytes,
    ringBytes,
    tailAt: at + CLIENT_FROM_HOST_TAIL_AT,
    headAt: at + CLIENT_FROM_HOST_HEAD_AT,
  }
  const [out, back] = side === 'host' ? [fromHost, toHost] : [toHost, fromHost]
  const peer = side === 'host' ? client : HOST_CLIENT
  const ringPeer = (): void => ring(words, clientAt(peer) + CLIENT_DOORBELL_AT)
  return new LaneEndpoint(
    new MessageSender(arena, words, out, ringPeer),
    new MessageReceiver(arena, words, back, ringPeer),
  )
}
