import { MessageChannel } from 'node:worker_threads'

// Values that no caller should pass and some caller will.

class Instance {
  field = 1
}

function throwing(target: object): object {
  const fail = (): never => {
    throw new Error('a trap')
  }
  return new Proxy(target, {
    get: fail,
    ownKeys: fail,
    has: fail,
    getPrototypeOf: fail,
    getOwnPropertyDescriptor: fail,
  })
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

/** A Uint8Array whose memory went elsewhere, as with a `postMessage` that transfers it. */
export function detached(): Uint8Array {
  const bytes = new Uint8Array(8)
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(null, [bytes.buffer])
  port1.close()
  port2.close()
  return bytes
}

/** A view of a buffer that was made shorter than where the view begins. */
function outOfBounds(): Uint8Array {
  const buffer = new (ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer)(16, {
    maxByteLength: 16,
  })
  const bytes = new Uint8Array(buffer, 8)
  ;(buffer as unknown as { resize(length: number): void }).resize(4)
  return bytes
}

function shared(): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(8))
}

/** An object each of whose fields throws when it is read. */
const withGetters = (...names: string[]): object =>
  Object.defineProperties(
    {},
    Object.fromEntries(
      names.map((name) => [
        name,
        {
          enumerable: true,
          get() {
            throw new Error(`the getter of ${name}`)
          },
        },
      ]),
    ),
  )

const OPTION_NAMES = ['key', 'headers', 'from', 'partition', 'before', 'durability', 'max', 'checkpoint', 'producerId']

/** By name; made anew for each call. */
export const HOSTILE: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  symbol: () => Symbol('s'),
  bigint: () => 5n,
  NaN: () => Number.NaN,
  Infinity: () => Number.POSITIVE_INFINITY,
  '-1': () => -1,
  '0': () => 0,
  '1.5': () => 1.5,
  '2**53': () => 2 ** 53,
  "''": () => '',
  "'../x'": () => '../x',
  'NUL text': () => 'a\0b',
  'long text': () => 'x'.repeat(5000),
  'lone surrogate': () => '\ud800',
  function: () => () => 1,
  class: () => Instance,
  instance: () => new Instance(),
  'empty object': () => ({}),
  'no prototype': () => Object.create(null),
  'unprintable object': () => ({
    toString() {
      throw new Error('toString')
    },
    toJSON() {
      throw new Error('toJSON')
    },
  }),
  'throwing getters': () => withGetters(...OPTION_NAMES),
  'throwing proxy': () => throwing({}),
  'revoked proxy': () => revoked({}),
  'throwing array proxy': () => throwing([1]),
  'revoked array proxy': () => revoked([]),
  array: () => [Symbol('in an array')],
  date: () => new Date(Number.NaN),
  'fake date': () => Object.create(Date.prototype),
  'fake signal': () => Object.create(AbortSignal.prototype),
  'fake bytes': () => Object.create(Uint8Array.prototype),
  'proxy of bytes': () => new Proxy(new Uint8Array(4), {}),
  'detached bytes': detached,
  'bytes out of bounds': outOfBounds,
  'shared bytes': shared,
  'wide numbers': () => new Float64Array(2),
  buffer: () => new ArrayBuffer(8),
}
