import { atLeast, type Figure, figureOf } from '../figure.js'
import { withFreshLog } from '../fresh-log.js'
import { type Member, runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import type { Case } from './case.js'

const RECORD_BYTES = 727
const RECORDS = 1_200_000
/** Of these, each topic has some before the clock starts, so that its first segment is there. */
const WARM_UP_RECORDS = 200_000
const TOPICS = [1, 10, 100, 1000]

const nameOf = (topics: number): string => (topics === 1 ? '1 topic' : `${topics} topics`)

async function runTopics(settings: Settings): Promise<Figure[]> {
  const count = scaled(settings, RECORDS, Math.max(...TOPICS))
  const samples = await runRounds(
    settings,
    'topics',
    TOPICS.map((topics) => memberOf(settings, topics, count)),
  )
  const baselines = samples[nameOf(1)]
  return TOPICS.slice(1).map((topics) =>
    figureOf({
      name: `topics/${topics}`,
      unit: 'records/s',
      against: nameOf(1),
      values: samples[nameOf(topics)],
      baselines,
      target: topics === 1000 ? atLeast(0.6) : undefined,
    }),
  )
}

/** One producer thread that sends to the topics in turn, in records a second over all. */
function memberOf(settings: Settings, topics: number, count: number): Member {
  const warmUpCount = scaled(settings, WARM_UP_RECORDS, topics)
  return {
    name: nameOf(topics),
    warmBytes: RECORD_BYTES * (count + warmUpCount),
    run: (directory) =>
      withFreshLog(settings, directory, { durability: 'os' }, async (walrus) => {
        const names = Array.from({ length: topics }, (_, index) => `t${index}`)
        const seconds = await inThread(settings, 'produceToMany', {
          handle: walrus.handle(),
          topics: names,
          recordBytes: RECORD_BYTES,
          count,
          warmUpCount,
        })
        const { records } = walrus.stats()
        if (records !== count + warmUpCount)
          throw new Error(`${nameOf(topics)}: ${records} records where ${count + warmUpCount} were sent`)
        return count / seconds
      }),
  }
}

export const topics: Case = {
  name: 'topics',
  about:
    "one producer thread, durability 'os', 727-byte records to 10, 100 and 1,000 topics in turn: against one topic",
  run: runTopics,
}
