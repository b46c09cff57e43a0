import { createRequire, syncBuiltinESMExports } from 'node:module'
import type { Region } from '@walrus-log/core'

/**
 * Runs the shipped code of several threads in every order in which their atomic accesses can follow each other.
 *
 * A side is an ordinary synchronous function. It cannot be halted in its middle, so it is run anew for each of its steps:
 * what its accesses gave before is replayed from a record, its next atomic access takes place, and at the one after that
 * it is thrown out of. A side's private state is thus a function of its record, and the search visits each pair of
 * records and memory once (depth first, from copies of the memory).
 *
 * Accesses to `Atomics.*` are steps. Accesses to the region of `steppedRegion` are recorded, but happen together with
 * the atomic access before them, in one of two ways: `at-once`, as on a machine without store buffers, or `late`: a store
 * is seen by nobody else before its thread's next atomic store, which is the latest that the memory model allows.
 */
export interface Side {
  name: string
  /** Makes all its own objects anew, and reads and writes shared memory only through `Atomics` and the region. */
  run: () => unknown
}

export interface Exploration {
  sides: readonly Side[]
  /** Shared memory that the sides use: copied at each step. */
  words: readonly (Int32Array | BigInt64Array)[]
  region?: Uint32Array
  stores?: 'at-once' | 'late'
  /** Called in each state in which all sides have ended, with what they returned. */
  atEnd?: (results: unknown[]) => void
  /** Called in each state that is visited, between two steps. */
  always?: () => void
  statesMax?: number
}

interface SideState {
  record: unknown[]
  pending: ReadonlyMap<number, number>
  /** The word that it sleeps on, as `array:index`. */
  sleepsOn: string | undefined
  hasTimeout: boolean
  isWoken: boolean
  hasEnded: boolean
  result: unknown
}

interface State {
  words: (Int32Array | BigInt64Array)[]
  region: Uint32Array | undefined
  sides: SideState[]
  path: Trace | undefined
}

interface Trace {
  step: string
  before: Trace | undefined
}

const HALT = Symbol('halt')
const real = { ...ownFunctions() }

function ownFunctions(): Record<string, (...values: never[]) => unknown> {
  const names = Object.getOwnPropertyNames(Atomics) as (keyof typeof Atomics)[]
  return Object.fromEntries(names.map((name) => [name, Atomics[name]])) as never
}

/** The access that a side is at, for `steppedRegion` and the stepped `Atomics`. */
let current: Stepper | undefined

class Stepper {
  readonly #exploration: Exploration
  readonly #side: SideState
  readonly #others: SideState[]
  readonly #pending: Map<number, number>
  readonly #resumed: string | undefined
  #replayed = 0
  #hasStepped = false
  said = ''

  constructor(exploration: Exploration, side: SideState, others: SideState[], resumed: string | undefined) {
    this.#exploration = exploration
    this.#side = side
    this.#others = others
    this.#pending = new Map(side.pending)
    this.#resumed = resumed
  }

  atomic(name: string, array: Int32Array | BigInt64Array, index: number, values: unknown[]): unknown {
    const { record } = this.#side
    if (this.#replayed < record.length) return record[this.#replayed++]
    if (this.#hasStepped) throw HALT
    this.#hasStepped = true
    const place = `${this.#exploration.words.indexOf(array)}:${index}`
    if (name !== 'load' && name !== 'notify' && name !== 'wait') this.#flush()
    const result = this.#perform(name, array, index, place, values)
    this.said = `${name} ${place}${values.length > 0 ? ` (${values.join(', ')})` : ''} = ${result}`
    this.#push(result)
    return result
  }

  #perform(name: string, array: Int32Array | BigInt64Array, index: number, place: string, values: unknown[]): unknown {
    if (name === 'notify') {
      const sleeping = this.#others.filter((side) => side.sleepsOn === place && !side.isWoken)
      for (const side of sleeping) side.isWoken = true
      return sleeping.length
    }
    if (name !== 'wait') return (real[name] as (...all: unknown[]) => unknown)(array, index, ...values)
    if (this.#resumed !== undefined) return this.#resumed
    if (array[index] !== values[0]) return 'not-equal'
    this.#side.sleepsOn = place
    this.#side.hasTimeout = values[1] !== undefined && values[1] !== Number.POSITIVE_INFINITY
    this.said = `sleeps on ${place}`
    throw HALT
  }

  load(index: number): number {
    const { record } = this.#side
    if (this.#replayed < record.length) return record[this.#replayed++] as number
    const value = this.#pending.get(index) ?? this.#exploration.region![index]
    this.#push(value)
    return value
  }

  store(index: number, value: number): void {
    const { record } = this.#side
    // Stores are recorded as well: what a replay is past must not be stored again.
    if (this.#replayed < record.length) {
      this.#replayed++
      return
    }
    if (this.#exploration.stores === 'late') this.#pending.set(index, value)
    else this.#exploration.region![index] = value
    this.#push('stored')
  }

  #push(value: unknown): void {
    this.#side.record.push(value)
    this.#replayed++
  }

  #flush(): void {
    for (const [index, value] of this.#pending) this.#exploration.region![index] = value
    this.#pending.clear()
  }

  finish(): void {
    this.#side.pending = this.#pending
  }
}

/** Visits every state. Throws the first failure, with the steps that lead to it. Returns how many states there are. */
export function explore(exploration: Exploration): number {
  const seen = new Set<string>()
  const first: SideState = {
    record: [],
    pending: new Map(),
    sleepsOn: undefined,
    hasTimeout: false,
    isWoken: false,
    hasEnded: false,
    result: undefined,
  }
  const start: State = { ...copyMemory(exploration), sides: exploration.sides.map(() => first), path: undefined }
  const stack = [start]
  const restore = install()
  try {
    while (stack.length > 0) visit(exploration, stack.pop()!, stack, seen)
  } finally {
    restore()
    current = undefined
    loadMemory(exploration, start)
  }
  return seen.size
}

function visit(exploration: Exploration, state: State, stack: State[], seen: Set<string>): void {
  const key = keyOf(state)
  if (seen.has(key)) return
  seen.add(key)
  if (seen.size > (exploration.statesMax ?? 400_000)) throw new Error('too many states: make the scenario smaller')
  let canStep = false
  try {
    loadMemory(exploration, state)
    exploration.always?.()
    state.sides.forEach((side, index) => {
      for (const resumed of waysOn(side)) {
        canStep = true
        stack.push(step(exploration, state, index, resumed))
      }
    })
    if (canStep) return
    if (!state.sides.every(({ hasEnded }) => hasEnded)) throw new Error('nobody can go on: a wake-up is lost')
    loadMemory(exploration, state)
    exploration.atEnd?.(state.sides.map(({ result }) => result))
  } catch (error) {
    if (error instanceof InterleavingError) throw error
    throw new InterleavingError(error, state.path)
  }
}

/** How a side can go on: not at all, with its next access, or out of its sleep. */
function waysOn(side: SideState): (string | undefined)[] {
  if (side.hasEnded) return []
  if (side.sleepsOn === undefined) return [undefined]
  if (side.isWoken) return ['ok']
  return side.hasTimeout ? ['timed-out'] : []
}

function step(exploration: Exploration, state: State, index: number, resumed: string | undefined): State {
  loadMemory(exploration, state)
  const sides = state.sides.map((side) => ({ ...side }))
  const side = sides[index]
  side.record = [...side.record]
  if (resumed !== undefined) side.sleepsOn = undefined
  side.isWoken = false
  const stepper = new Stepper(
    exploration,
    side,
    sides.filter((other) => other !== side),
    resumed,
  )
  current = stepper
  let failure: unknown
  try {
    side.result = exploration.sides[index].run()
    side.hasEnded = true
  } catch (error) {
    if (error !== HALT) failure = error
  }
  current = undefined
  stepper.finish()
  const path = { step: `${exploration.sides[index].name}: ${stepper.said}`, before: state.path }
  if (failure !== undefined) throw new InterleavingError(failure, path)
  return { ...copyMemory(exploration), sides, path }
}

class InterleavingError extends Error {
  constructor(cause: unknown, path: Trace | undefined) {
    const steps: string[] = []
    for (let trace = path; trace !== undefined; trace = trace.before) steps.unshift(trace.step)
    super(`${cause instanceof Error ? cause.message : String(cause)}\nafter\n  ${steps.join('\n  ')}`, { cause })
  }
}

function keyOf({ words, region, sides }: State): string {
  const parts: unknown[] = [...words.map(String), region === undefined ? '' : String(region)]
  for (const side of sides) parts.push(side.record, [...side.pending], side.sleepsOn, side.isWoken, side.hasEnded)
  return parts.join(';')
}

function copyMemory({ words, region }: Exploration): Pick<State, 'words' | 'region'> {
  return { words: words.map((array) => array.slice()), region: region?.slice() }
}

function loadMemory(exploration: Exploration, state: State): void {
  exploration.words.forEach((array, index) => {
    array.set(state.words[index] as never)
  })
  if (state.region !== undefined) exploration.region!.set(state.region)
}

/** Puts the stepped functions in the place of `Atomics`' own; outside of a step these are still what is called. */
function install(): () => void {
  for (const name of Object.keys(real)) {
    if (name === 'isLockFree' || name === 'waitAsync') continue
    const stepped = (array: Int32Array, index: number, ...values: unknown[]): unknown =>
      current === undefined
        ? (real[name] as (...all: unknown[]) => unknown)(array, index, ...values)
        : current.atomic(name, array, index, values)
    Object.assign(Atomics, { [name]: stepped })
  }
  return () => Object.assign(Atomics, real)
}

/** A region whose 32-bit accesses are the explored sides'. Lane code uses nothing else of a region. */
export function steppedRegion(memory: Uint32Array): Region {
  const u32 = new Proxy(memory, {
    get: (target, index) => (current === undefined ? target[Number(index)] : current.load(Number(index))),
    set(target, index, value: number) {
      if (current === undefined) target[Number(index)] = value
      else current.store(Number(index), value >>> 0)
      return true
    },
  })
  return { u32 } as Region
}

/** Lets code that refuses to block the main thread run in this one: its waits are stepped, or end by themselves. */
export function pretendWorkerThread(): () => void {
  const threads = createRequire(import.meta.url)('node:worker_threads') as { isMainThread: boolean }
  const before = threads.isMainThread
  const set = (value: boolean): void => {
    threads.isMainThread = value
    syncBuiltinESMExports()
  }
  set(false)
  return () => set(before)
}
