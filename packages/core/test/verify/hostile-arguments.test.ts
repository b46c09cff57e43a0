import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { WalrusError } from '#core/errors.js'
import { checkName } from '#core/log/names.js'
import { checkProducerName } from '#core/log/producer-registry.js'
import { TopicStore } from '#core/log/topic-store.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { dumpGaps, dumpIndex, dumpSegment } from '#core/verify/dump.js'
import { verifyLog } from '#core/verify/verify-log.js'
import { verifyPartition } from '#core/verify/verify-partition.js'
import { HOSTILE } from '../support/hostile.js'
import { temporaryDirectory } from '../support/temporary.js'

// biome-ignore lint/suspicious/noExplicitAny: hostile callers know no types
type Any = any

const system = new NodeFileSystem()
const OPTIONS = { fs: system, directory: '/nowhere', nowMs: 0 }
const PLACE = { topic: 't', partition: 0, directory: '/nowhere' }
const TEXTS = ["''", "'../x'", 'NUL text', 'long text', 'lone surrogate']
const PATHS = ["'../x'", 'long text', 'lone surrogate']

/** Each call in each place of a value, with the values that are none to be refused there. */
const CALLS: Record<string, { call: (value: Any) => unknown; accepts?: string[] }> = {
  'dumpSegment(fs)': { call: (value) => [...dumpSegment(value, 'x')] },
  'dumpSegment(name)': { call: (value) => [...dumpSegment(system, value)], accepts: PATHS },
  'dumpIndex(fs)': { call: (value) => [...dumpIndex(value, 'x')] },
  'dumpIndex(name)': { call: (value) => [...dumpIndex(system, value)], accepts: PATHS },
  'dumpGaps(fs)': { call: (value) => [...dumpGaps(value, 'x')] },
  'dumpGaps(name)': { call: (value) => [...dumpGaps(system, value)], accepts: PATHS },
  'verifyLog(options)': { call: (value) => [...verifyLog(value)] },
  'verifyLog({ fs })': { call: (value) => [...verifyLog({ ...OPTIONS, fs: value })] },
  'verifyLog({ directory })': { call: (value) => [...verifyLog({ ...OPTIONS, directory: value })], accepts: PATHS },
  'verifyLog({ topics })': { call: (value) => [...verifyLog({ ...OPTIONS, topics: value })], accepts: ['undefined'] },
  'verifyLog({ repair })': { call: (value) => [...verifyLog({ ...OPTIONS, repair: value })], accepts: ['undefined'] },
  'verifyLog({ nowMs })': { call: (value) => [...verifyLog({ ...OPTIONS, nowMs: value })], accepts: ['0'] },
  'verifyPartition(fs)': { call: (value) => verifyPartition(value, PLACE) },
  'verifyPartition(place)': { call: (value) => verifyPartition(system, value) },
  'verifyPartition({ topic })': { call: (value) => verifyPartition(system, { ...PLACE, topic: value }) },
  'verifyPartition({ partition })': {
    call: (value) => verifyPartition(system, { ...PLACE, partition: value }),
    accepts: ['0'],
  },
  'verifyPartition({ directory })': {
    call: (value) => verifyPartition(system, { ...PLACE, directory: value }),
    accepts: PATHS,
  },
  checkName: { call: (value) => checkName('topic', value) },
  checkProducerName: {
    call: (value) => checkProducerName(value),
    accepts: TEXTS.filter((text) => ["'../x'", 'NUL text'].includes(text)),
  },
  'TopicStore.get': { call: (value) => new TopicStore(system, '/nowhere').get(value) },
  'TopicStore.delete': { call: (value) => new TopicStore(system, '/nowhere').delete(value, 0) },
}

describe.each(Object.entries(CALLS))('%s', (_name, { call, accepts = [] }) => {
  it('refuses with INVALID_ARGUMENT all that it cannot take', () => {
    const wrong: string[] = []
    for (const [kind, make] of Object.entries(HOSTILE)) {
      if (accepts.includes(kind)) continue
      try {
        call(make())
        wrong.push(`${kind}: accepted`)
      } catch (error) {
        if (!(error instanceof WalrusError && error.code === 'INVALID_ARGUMENT'))
          wrong.push(`${kind}: ${String(error)}`)
      }
    }
    expect(wrong.join('\n')).toBe('')
  })
})

describe("a topic's settings", () => {
  const FIELDS: Record<string, string[]> = {
    partitions: [],
    codec: [],
    durability: [],
    segmentBytes: [],
    segmentEntries: ['2**53'],
    segmentMs: ['null'],
    // Copied, these are as empty as `{}`.
    retention: ['empty object', 'no prototype', 'fake date', 'fake signal', 'fake bytes'],
    cleanup: [],
  }

  it.each(Object.entries(FIELDS))('are refused before anything is made: %s', (field, accepts) => {
    const directory = temporaryDirectory()
    const wrong: string[] = []
    for (const [kind, make] of Object.entries(HOSTILE)) {
      if (kind === 'undefined' || accepts.includes(kind)) continue
      try {
        new TopicStore(system, directory).open('t', { [field]: make() }, { durability: 'os' }, 0)
        wrong.push(`${kind}: accepted`)
      } catch (error) {
        if (!(error instanceof WalrusError && error.code === 'INVALID_ARGUMENT'))
          wrong.push(`${kind}: ${String(error)}`)
      }
    }
    expect(wrong.join('\n')).toBe('')
    expect(fs.readdirSync(directory)).toEqual([])
    expect(fs.existsSync(path.join(directory, 't'))).toBe(false)
  })
})
