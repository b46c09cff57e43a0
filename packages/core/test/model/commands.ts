import { encodeBatch } from '#core/format/batch-encoder.js'
import { ADMIT, DUPLICATE, FENCED, OUT_OF_SEQUENCE } from '#core/log/producer-state.js'
import type { RecoveryMode } from '#core/segment/recovery.js'
import { fc } from '../support/property.js'
import { damageAndMend } from './damage.js'
import type { LogInUse } from './log-in-use.js'
import type { Model, ModelRecord, Verdict } from './model.js'
import type { PartitionInUse } from './partition-in-use.js'
import { require, requireEqual } from './read-partition.js'
import type { TopicInUse } from './topic-in-use.js'

/** Something that is done with a log. Plain data: a story is a list of them, whoever makes it. */
export type Action =
  | { type: 'create'; topic: number; partitions: number; isPowerSafe: boolean; segmentEntries: number }
  | { type: 'delete'; topic: number }
  | { type: 'append'; topic: number; records: number; bytes: number; time: number }
  /** A named producer's next batch, or one that it has sent before. */
  | { type: 'send'; topic: number; name: number; records: number; again?: number; isOld?: boolean; hasHole?: boolean }
  | { type: 'open name'; topic: number; name: number }
  | { type: 'sync'; topic: number }
  | { type: 'roll'; topic: number }
  | { type: 'seal'; topic: number }
  | { type: 'take back'; topic: number }
  | { type: 'replace writer'; topic: number }
  | { type: 'read'; topic: number; from: number }
  | { type: 'read by time'; topic: number; time: number }
  | { type: 'trim'; topic: number; part: number }
  | { type: 'retain'; topic: number; records?: number; bytes?: number; ms?: number }
  /** Reads some records for a group, and commits. */
  | { type: 'consume'; topic: number; group: number; records: number }
  | { type: 'seek'; topic: number; group: number; part: number; isStale: boolean }
  | { type: 'compact cursors' }
  | { type: 'damage'; topic: number; repair: 'cut' | 'skip'; dieAfter: number }
  | { type: 'close'; mode: RecoveryMode }
  | { type: 'kill'; mode: 'strict' | 'tail' }
  | { type: 'lose power'; mode: 'strict' | 'tail' }
  | { type: 'write back' }
  /** The process dies at that call from now on, in whatever it does then. */
  | { type: 'die after'; calls: number; isPowerLost: boolean }
  | { type: 'fill'; bytes: number }

const NAMES = ['anna', 'bert', 'carl']
const TOPICS = ['orders', 'trips', 'users']
const GROUPS = ['billing', 'search']
/** Times lie before any that a log makes by itself. */
const TIMES = 1000

/** Does it. Whatever does not fit what there is does nothing. */
export function perform(action: Action, log: LogInUse): void {
  const { disk } = log
  log.actions++
  disk.trace?.(JSON.stringify(action))
  switch (action.type) {
    case 'write back':
      return disk.writeBack(log.random)
    case 'die after':
      disk.callsLeft = action.calls
      disk.isPowerLostWithProcess = action.isPowerLost
      return
    case 'fill':
      disk.bytesFree = action.bytes
      return
    case 'kill':
    case 'lose power':
      log.mode = action.mode
      if (action.type === 'kill') log.kill()
      else log.losePower()
      log.mode = 'strict'
      return
    default:
      return log.attempt(() => performFallibly(action, log))
  }
}

type Fallible = Exclude<Action, { type: 'write back' | 'die after' | 'fill' | 'kill' | 'lose power' }>

function performFallibly(action: Fallible, log: LogInUse): void {
  if (action.type === 'compact cursors') return log.cursors.compact()
  if (action.type === 'close') {
    log.closeAndVerify()
    log.mode = action.mode
    log.reopen()
    log.mode = 'strict'
    return
  }
  if (action.type === 'create') {
    const name = TOPICS[action.topic % TOPICS.length]
    if (!log.topics.has(name)) log.createTopic({ ...action, name })
    return
  }
  const topics = [...log.topics.values()]
  if (topics.length === 0) return
  const topic = topics[action.topic % topics.length]
  const number = Math.floor(action.topic / topics.length) % topic.partitions.length
  const partition = topic.partitions[number]
  switch (action.type) {
    case 'delete':
      return log.deleteTopic(topic)
    case 'append': {
      const records = recordsOf(log, action.records, action.bytes, action.time)
      return partition.append(encoded(records, { producerId: 7, producerEpoch: 1, sequenceFirst: 0 }), records)
    }
    case 'send':
      return send(log, topic, partition, action)
    case 'open name':
      return log.openName(topic, NAMES[action.name % NAMES.length])
    case 'sync':
      return partition.sync()
    case 'roll':
      return partition.roll()
    case 'seal':
      return partition.sealOldest()
    case 'take back':
      return partition.takeBack()
    case 'replace writer':
      return partition.replaceWriter()
    case 'read':
      return partition.checkRecords(within(partition, action.from), partition.model.acknowledged)
    case 'read by time':
      return partition.checkTime(action.time)
    case 'trim':
      return partition.trim(within(partition, action.part))
    case 'retain': {
      const { records, bytes, ms } = action
      return partition.retain({ records, bytes, ms }, TIMES)
    }
    case 'consume': {
      const from = log.cursors.at(topic, GROUPS[action.group % GROUPS.length], number)
      const to = Math.min(from + action.records, partition.model.acknowledged)
      partition.checkRecords(from, to)
      return log.cursors.commit(topic, GROUPS[action.group % GROUPS.length], number, to)
    }
    case 'seek': {
      const group = GROUPS[action.group % GROUPS.length]
      log.cursors.commit(topic, group, number, within(partition, action.part), action.isStale)
      const lag = partition.model.acknowledged - log.cursors.at(topic, group, number)
      require(lag >= 0, `a lag of ${lag}`)
      return
    }
    case 'damage':
      return damageAndMend(log, topic, number, action)
  }
}

/** An offset from the first one to the acknowledged end, by a share of a thousand. */
function within({ model: { first, acknowledged } }: PartitionInUse, part: number): number {
  return first + Math.floor(((acknowledged - first + 0.999) * part) / 1000)
}

function recordsOf(log: LogInUse, count: number, bytes: number, time: number): ModelRecord[] {
  return Array.from({ length: count }, (_none, index) => {
    return { value: `${log.now()}:${'x'.repeat(bytes)}`, timestamp: Math.max(time - index * 7, 0) }
  })
}

function encoded(
  records: readonly ModelRecord[],
  origin: { producerId: number; producerEpoch: number; sequenceFirst: number },
) {
  const bytes = new TextEncoder()
  return encodeBatch(
    records.map(({ value, timestamp }) => ({ value: bytes.encode(value), timestamp })),
    { ...origin, timestampMs: 0 },
  )
}

function send(
  log: LogInUse,
  topic: TopicInUse,
  partition: PartitionInUse,
  { name: number, records: count, again, isOld, hasHole }: Extract<Action, { type: 'send' }>,
): void {
  const name = NAMES[number % NAMES.length]
  if (!topic.opened.has(name)) return
  const id = topic.ids.get(name)!
  const epochNow = topic.model.names.get(name)!.epoch
  partition.makeSure()
  const { model } = partition
  const sent = again === undefined ? undefined : model.batchesOf(name).at(-1 - again)
  const records = sent?.records ?? recordsOf(log, count, 20, log.now() % TIMES)
  const sequence = sent?.origin?.sequence ?? model.sequenceNext(name) + (hasHole ? 1 : 0)
  const epoch = epochNow - (isOld ? 1 : 0)
  const verdict = model.judge(name, epoch, epochNow, sequence, records.length)
  const answer = partition.log!.producers.check(id, epoch, sequence, records.length)
  requireVerdict(answer, verdict, `batch ${sequence} of ${name}`)
  if (verdict.type !== 'admit') return
  const origin = { producerId: id, producerEpoch: epoch, sequenceFirst: sequence }
  partition.append(encoded(records, origin), records, { name, epoch, sequence })
}

function requireVerdict(answer: number, verdict: Verdict, what: string): void {
  if (verdict.type === 'duplicate') {
    const isSaid = answer === verdict.base || (answer === DUPLICATE && !verdict.isRemembered)
    require(isSaid, `${what}: ${answer}, a duplicate of ${verdict.base} expected`)
    return
  }
  const expected = { admit: ADMIT, fenced: FENCED, sequence: OUT_OF_SEQUENCE }[verdict.type]
  requireEqual(answer, expected, what)
}

/** Any list of actions, such as a log may meet them. */
export function anyStory(): fc.Arbitrary<Iterable<fc.Command<Model, LogInUse>>> {
  const topic = fc.nat(11)
  const part = fc.nat(1000)
  const mode = fc.constantFrom('strict' as const, 'tail' as const)
  const name = fc.nat(NAMES.length - 1)
  const group = fc.nat(GROUPS.length - 1)
  const bytes = fc.oneof({ weight: 9, arbitrary: fc.nat(300) }, { weight: 1, arbitrary: fc.nat(2000) })
  const time = fc.nat(TIMES)
  const records = fc.integer({ min: 1, max: 4 })
  const type = <Type extends Action['type']>(of: Type) => fc.constant(of)
  const send = fc.record(
    {
      type: type('send'),
      topic,
      name,
      records,
      again: fc.nat(20),
      isOld: fc.constant(true),
      hasHole: fc.constant(true),
    },
    { requiredKeys: ['type', 'topic', 'name', 'records'] },
  )
  const next = fc.record({ type: type('send'), topic, name, records })
  const create = fc.record({
    type: type('create'),
    topic,
    partitions: fc.integer({ min: 1, max: 2 }),
    isPowerSafe: fc.boolean(),
    segmentEntries: fc.integer({ min: 2, max: 15 }),
  })
  const limits = { records: fc.nat(20), bytes: fc.nat(9000), ms: time }
  const weighted: [number, fc.Arbitrary<Action>][] = [
    [6, create],
    [1, fc.record({ type: type('delete'), topic })],
    [20, fc.record({ type: type('append'), topic, records, bytes, time })],
    [6, send],
    [8, next],
    [4, fc.record({ type: type('open name'), topic, name })],
    [12, fc.record({ type: type('sync'), topic })],
    [2, fc.record({ type: type('roll'), topic })],
    [6, fc.record({ type: type('seal'), topic })],
    [1, fc.record({ type: type('take back'), topic })],
    [2, fc.record({ type: type('replace writer'), topic })],
    [3, fc.record({ type: type('read'), topic, from: part })],
    [3, fc.record({ type: type('read by time'), topic, time })],
    [4, fc.record({ type: type('trim'), topic, part })],
    [3, fc.record({ type: type('retain'), topic, ...limits }, { requiredKeys: ['type', 'topic'] })],
    [6, fc.record({ type: type('consume'), topic, group, records: fc.nat(9) })],
    [3, fc.record({ type: type('seek'), topic, group, part, isStale: fc.boolean() })],
    [3, fc.record({ type: type('compact cursors') })],
    [1, fc.record({ type: type('damage'), topic, repair: fc.constantFrom('cut', 'skip'), dieAfter: fc.nat(40) })],
    [2, fc.record({ type: type('close'), mode: fc.constantFrom('strict', 'tail', 'skip') })],
    [2, fc.record({ type: type('kill'), mode })],
    [3, fc.record({ type: type('lose power'), mode })],
    [4, fc.record({ type: type('write back') })],
    [7, fc.record({ type: type('die after'), calls: fc.nat(40), isPowerLost: fc.boolean() })],
    [2, fc.record({ type: type('fill'), bytes: fc.oneof(fc.nat(3000), fc.constant(Number.MAX_SAFE_INTEGER)) })],
  ]
  // A command's place in the list decides how likely it is.
  const commands = weighted.flatMap(([weight, arbitrary]) => Array<typeof arbitrary>(weight).fill(arbitrary))
  return fc.commands(
    commands.map((arbitrary) => arbitrary.map((action) => new Step(action))),
    { maxCommands: 70, size: 'max' },
  )
}

class Step implements fc.Command<Model, LogInUse> {
  readonly #action: Action

  constructor(action: Action) {
    this.#action = action
  }

  check(): boolean {
    return true
  }

  run(_model: Model, log: LogInUse): void {
    perform(this.#action, log)
  }

  toString(): string {
    return JSON.stringify(this.#action)
  }
}
