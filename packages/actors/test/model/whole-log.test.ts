import { expect, test } from 'vitest'
import { temporaryDirectory } from '../log/fixture.js'
import { writerThreads } from '../log/writer-threads.js'
import { fc, replay, SEED } from '../support/seeded.js'
import { type TopicInUse, WholeLog } from './whole-log.js'

const RUNS = Number(process.env['WALRUS_MODEL_RUNS'] ?? 4)
const NAMES = ['anna', 'bert']
const GROUPS = ['billing', 'search']

type Action = (log: WholeLog, used: TopicInUse, partition: number) => Promise<void>

class Step implements fc.AsyncCommand<object, WholeLog> {
  readonly #what: string
  readonly #topic: number
  readonly #action: Action

  constructor(what: string, topic: number, action: Action) {
    this.#what = what
    this.#topic = topic
    this.#action = action
  }

  check(): boolean {
    return true
  }

  async run(_model: object, log: WholeLog): Promise<void> {
    const topics = [...log.topics.values()]
    if (topics.length === 0) return
    const used = topics[this.#topic % topics.length]
    const partition = Math.floor(this.#topic / topics.length) % used.partitions.length
    await this.#action(log, used, partition)
  }

  toString(): string {
    return `${this.#what} (${this.#topic})`
  }
}

class Create extends Step {
  readonly #name: string
  readonly #partitions: number

  constructor(name: string, partitions: number) {
    super(`create ${name} with ${partitions}`, 0, async () => {})
    this.#name = name
    this.#partitions = partitions
  }

  override async run(_model: object, log: WholeLog): Promise<void> {
    await log.create(this.#name, this.#partitions)
  }
}

const topic = fc.nat(11)
const share = fc.nat(1000)
const name = fc.constantFrom(...NAMES)
const group = fc.constantFrom(...GROUPS)

/** One kind of step, as often as `weight` says. */
function step<Value>(
  weight: number,
  what: string,
  values: fc.Arbitrary<Value>,
  action: (value: Value, ...rest: Parameters<Action>) => Promise<void>,
) {
  const arbitrary = fc
    .tuple(topic, values)
    .map(([at, value]) => new Step(`${what} ${JSON.stringify(value)}`, at, (...rest) => action(value, ...rest)))
  return Array<typeof arbitrary>(weight).fill(arbitrary)
}

const stories = fc.commands<object, WholeLog, false>(
  [
    ...Array<fc.Arbitrary<Step>>(2).fill(
      fc.tuple(fc.constantFrom('orders', 'trips'), fc.integer({ min: 1, max: 2 })).map((wish) => new Create(...wish)),
    ),
    ...step(6, 'append', fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(900)), ([producers, bytes], log, used, at) =>
      log.append(used, at, producers, bytes),
    ),
    ...step(3, 'open', name, (of, log, used, at) => log.openName(used, of, at)),
    ...step(5, 'send', fc.tuple(name, fc.nat(3), fc.nat(20)), ([of, count, again], log, used) =>
      log.send(used, of, count + 1, again),
    ),
    ...step(2, 'read', share, (from, log, used, at) => log.read(used, at, from)),
    ...step(2, 'read by time', fc.integer({ min: 995, max: 1055 }), (time, log, used, at) =>
      log.readByTime(used, at, time),
    ),
    ...step(2, 'trim', share, (part, log, used, at) => log.trim(used, at, part)),
    ...step(4, 'consume', fc.tuple(group, fc.integer({ min: 1, max: 9 })), ([of, count], log, used) =>
      log.consume(used, of, count),
    ),
    ...step(1, 'seek', fc.tuple(group, fc.constantFrom('start' as const, 'end' as const)), ([of, to], log, used) =>
      log.seek(used, of, to),
    ),
    ...step(1, 'delete', fc.constant(0), (_none, log, used) => log.delete(used.topic.name)),
    ...step(2, 'end a thread', fc.nat(3), (choice, log, used) => log.endThread(used, choice)),
    ...step(2, 'open again', fc.constant(0), async (_none, log) => {
      await log.close()
      await log.open()
    }),
  ],
  { maxCommands: 30, size: 'max' },
)

test(`a log with all its threads agrees with its model, whatever is done (${replay})`, { timeout: 0 }, async () => {
  const { alive } = writerThreads()
  const property = fc.asyncProperty(stories, async (story) => {
    const log = new WholeLog(temporaryDirectory(), alive)
    try {
      await log.open()
      await new Create('orders', 2).run({}, log)
      await fc.asyncModelRun(() => ({ model: {}, real: log }), story)
      await log.close()
      await log.open()
    } finally {
      await log.close()
    }
  })
  await fc.assert(property, { seed: SEED, numRuns: RUNS, endOnFailure: process.env['WALRUS_MODEL_RUNS'] === undefined })
  expect(alive()).toEqual([])
})
