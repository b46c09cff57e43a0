import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished } from 'vitest'
import {
  type OpenOptions,
  type ReadOptions,
  type Topic,
  Walrus,
  WalrusError,
  type WalrusErrorCode,
} from '#actors/index.js'

/** Random choices of this run; `WALRUS_TEST_SEED=<seed> npx vitest run <file>` makes the same ones again. */
export const SEED = Number(process.env['WALRUS_TEST_SEED'] ?? Date.now() & 0x7fff_ffff)

/** A sequence of numbers in [0, 1) that depends on the seed and on what it is for (mulberry32). */
export function randomOf(purpose: string): () => number {
  let state = SEED
  for (const character of purpose) state = Math.imul(state ^ character.charCodeAt(0), 0x9e37_79b1)
  console.log(`${purpose}: WALRUS_TEST_SEED=${SEED}`)
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A directory of the running test's own, gone when it ends. */
export function temporaryDirectory(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'walrus-log-'))
  onTestFinished(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Opens a log that is closed at the latest when the test ends. `os` by default, so that tests do not wait for syncs. */
export async function openLog(directory = temporaryDirectory(), options: OpenOptions = {}): Promise<Walrus> {
  const walrus = await Walrus.open(directory, { durability: 'os', writerThreadsMax: 2, ...options })
  onTestFinished(() => walrus.close().catch(() => {}))
  return walrus
}

/** A record out of its batch, with bytes of its own. */
export interface CopiedRecord<Value> {
  partition: number
  offset: number
  timestamp: number
  value: Value
  key: string | null
  headers: Record<string, unknown> | null
}

export async function readAll<Value>(topic: Topic<Value>, options: ReadOptions = {}): Promise<CopiedRecord<Value>[]> {
  const records: CopiedRecord<Value>[] = []
  for await (const batch of topic.read(options)) {
    for (const { partition, offset, timestamp, value, key, headers } of batch) {
      const copy = value instanceof Uint8Array ? (Uint8Array.prototype.slice.call(value) as Value) : value
      records.push({ partition, offset, timestamp, value: copy, key: key && Buffer.from(key).toString(), headers })
    }
  }
  return records
}

/** The values of one partition in order; their offsets have to be without a gap. */
export async function readValues<Value>(topic: Topic<Value>, partition = 0): Promise<Value[]> {
  const records = await readAll(topic, { partition })
  const first = records[0]?.offset ?? 0
  expect(records.map(({ offset }) => offset)).toEqual(records.map((_record, index) => first + index))
  return records.map(({ value }) => value)
}

export const errorOf = (promise: Promise<unknown>): Promise<WalrusError> =>
  promise.then(
    (value) => {
      throw new Error(`resolved to ${JSON.stringify(value)}, an error was expected`)
    },
    (error) => error,
  )

/** That it rejects, or throws, with this code and these fields. */
export async function expectRefusal(
  action: Promise<unknown> | (() => unknown),
  code: WalrusErrorCode,
  fields: Record<string, unknown> = {},
): Promise<void> {
  const error = await errorOf(typeof action === 'function' ? (async () => action())() : action)
  expect(error).toBeInstanceOf(WalrusError)
  expect(error).toMatchObject({ code, ...fields })
}

/** Sends everything, waiting for room where there is none. */
export async function sendAll<Value>(
  producer: { send(value: Value): boolean; ready(): Promise<void> },
  values: Iterable<Value>,
): Promise<void> {
  for (const value of values) while (!producer.send(value)) await producer.ready()
}

export const workerUrl = (name: string): URL => new URL(`../workers/log-${name}.js`, import.meta.url)

/** A worker thread of the tests; the zoo is in `test/workers`. */
export class TestThread {
  readonly worker: Worker
  readonly ended: Promise<number>
  readonly #messages: unknown[] = []
  readonly #waiting: { resolve: (message: unknown) => void; reject: (error: Error) => void }[] = []
  #error: Error | undefined

  constructor(name: string, workerData: object) {
    this.worker = new Worker(workerUrl(name), { workerData })
    this.worker.on('message', (message) => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#messages.push(message)
      else next.resolve(message)
    })
    this.worker.on('error', (error) => this.#fail(error as Error))
    this.ended = new Promise((resolve) => this.worker.on('exit', resolve))
    void this.ended.then((code) => this.#fail(new Error(`the thread ended with code ${code}`)))
    onTestFinished(async () => void (await this.worker.terminate()))
  }

  /** The next message that it posts. */
  next<Message>(): Promise<Message> {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift() as Message)
    if (this.#error !== undefined) return Promise.reject(this.#error)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve: resolve as (message: unknown) => void, reject })
    })
  }

  post(message: unknown): void {
    this.worker.postMessage(message)
  }

  ask<Reply>(message: unknown): Promise<Reply> {
    this.post(message)
    return this.next<Reply>()
  }

  #fail(error: Error): void {
    this.#error ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(this.#error)
  }
}

/** Runs a program of the zoo as a process of its own. */
export function startProcess(name: string, argument: object, execArgv: string[] = []): ChildProcess {
  const child = fork(workerUrl(name), [JSON.stringify(argument)], {
    execArgv,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** Resolves to all messages of the process and its exit code when it has ended by itself. */
export async function runProcess<Message>(
  name: string,
  argument: object,
  execArgv: string[] = [],
): Promise<{ messages: Message[]; code: number | null }> {
  const child = startProcess(name, argument, execArgv)
  const messages: Message[] = []
  child.on('message', (message) => messages.push(message as Message))
  const [code] = (await once(child, 'close')) as [number | null]
  return { messages, code }
}

/** Descriptors of this process that point below `directory`; undefined where the system does not say. */
export function openFilesBelow(directory: string): string[] | undefined {
  if (process.platform !== 'linux') return undefined
  const real = fs.realpathSync(directory)
  const files: string[] = []
  for (const descriptor of fs.readdirSync('/proc/self/fd')) {
    try {
      const file = fs.readlinkSync(`/proc/self/fd/${descriptor}`)
      if (file.startsWith(real)) files.push(file)
    } catch {
      // The descriptor of the listing itself is gone by now.
    }
  }
  return files
}
