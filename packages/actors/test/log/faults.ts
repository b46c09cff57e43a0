import { setEnvironmentData } from 'node:worker_threads'
import { onTestFinished } from 'vitest'
import { workerUrl } from './fixture.js'

// The steering side of `workers/log-faulty-file-system.js`.

const [ACTION, ROLES, KINDS, LEFT, TIMES, WHEN, GATE, BLOCKED, COUNT, FIRED, LOG_LENGTH, CODE, THEN] = Array(13).keys()
const LOG_AT = 16
const LOG_NUMBERS = 4
const LOG_CALLS_MAX = 16_384

const KINDS_ALL = ['create', 'write', 'sync', 'truncate', 'syncDirectory', 'rename', 'remove', 'look'] as const
export type CallKind = (typeof KINDS_ALL)[number]
export const CHANGING_KINDS: readonly CallKind[] = KINDS_ALL.filter((kind) => kind !== 'look')
const ROLE_BITS = { writer: 1, sync: 2 } as const
const ACTIONS = { throw: 1, ENOSPC: 2, EIO: 2, 'exit 0': 3, 'exit 1': 4, 'out of memory': 5 } as const
export type FaultAction = keyof typeof ACTIONS

export interface Fault {
  action: FaultAction
  /** At which of the chosen calls, counted from 1. */
  at: number
  /** How often, from there on; once by default. */
  times?: number
  when?: 'before' | 'after'
  kinds?: readonly CallKind[]
  roles?: readonly (keyof typeof ROLE_BITS)[]
  /** After a failure of the disk, the writer dies before this one of its next calls of any kind, counted from 1. */
  thenDieAt?: number
}

export interface LoggedCall {
  kind: CallKind
  failed: boolean
  /** Base offset of the segment that it was about; -1 for other files. */
  base: number
}

/** Makes the calls of a log's threads fail, die or wait. One at a time in a process. */
export class Faults {
  static readonly fileSystem = workerUrl('faulty-file-system')
  readonly #words = new Int32Array(new SharedArrayBuffer((LOG_AT + LOG_CALLS_MAX * LOG_NUMBERS) * 4))

  constructor() {
    setEnvironmentData('walrus-test-faults', this.#words.buffer as SharedArrayBuffer)
    this.count()
  }

  /** From now on, the chosen calls are counted and nothing fails. */
  count(
    kinds: readonly CallKind[] = CHANGING_KINDS,
    roles: readonly (keyof typeof ROLE_BITS)[] = ['writer', 'sync'],
  ): void {
    this.heal()
    this.#words[KINDS] = kinds.reduce((bits, kind) => bits | (1 << KINDS_ALL.indexOf(kind)), 0)
    this.#words[ROLES] = roles.reduce((bits, role) => bits | ROLE_BITS[role], 0)
    this.#words[COUNT] = 0
    this.#words[FIRED] = 0
    this.#words[LOG_LENGTH] = 0
  }

  inject({ action, at, times = 1, when = 'before', kinds, roles, thenDieAt = 0 }: Fault): void {
    this.count(kinds, roles)
    this.#words[LEFT] = at
    this.#words[TIMES] = times
    this.#words[WHEN] = when === 'before' ? 0 : 1
    this.#words[THEN] = thenDieAt
    this.#words[CODE] = action === 'EIO' ? 2 : action === 'ENOSPC' ? 1 : 0
    Atomics.store(this.#words, ACTION, ACTIONS[action])
  }

  heal(): void {
    Atomics.store(this.#words, ACTION, 0)
  }

  /** Lets the chosen calls wait until `unblock`. */
  block(kinds: readonly CallKind[], roles?: readonly (keyof typeof ROLE_BITS)[]): void {
    this.count(kinds, roles)
    Atomics.store(this.#words, GATE, 1)
    onTestFinished(() => this.unblock())
  }

  /** Resolves when a thread waits. */
  async blocked(): Promise<void> {
    while (Atomics.load(this.#words, BLOCKED) === 0) {
      const wait = Atomics.waitAsync(this.#words, BLOCKED, 0)
      // A pending wait does not keep the event loop alive.
      const alive = setInterval(() => {}, 1000)
      if (wait.async) await wait.value
      clearInterval(alive)
    }
  }

  unblock(): void {
    Atomics.store(this.#words, GATE, 0)
    Atomics.notify(this.#words, GATE)
  }

  get calls(): number {
    return Atomics.load(this.#words, COUNT)
  }

  get fired(): number {
    return Atomics.load(this.#words, FIRED)
  }

  get log(): LoggedCall[] {
    const calls: LoggedCall[] = []
    for (let index = 0; index < Math.min(this.#words[LOG_LENGTH], LOG_CALLS_MAX); index++) {
      const [kind, failed, base] = this.#words.subarray(LOG_AT + index * LOG_NUMBERS)
      calls.push({ kind: KINDS_ALL[kind], failed: failed === 1, base })
    }
    return calls
  }
}
