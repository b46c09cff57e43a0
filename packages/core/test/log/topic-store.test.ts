import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkName } from '#core/log/names.js'
import { type TopicRequest, TopicStore } from '#core/log/topic-store.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { refusal, START_MS } from '../support/partition.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dyingFileSystem, recordingFileSystem } from '../support/traced-file-system.js'

const DEFAULTS = { durability: 'disk' } as const

function storeIn(directory = path.join(temporaryDirectory(), 'default'), system = new NodeFileSystem()) {
  const store = new TopicStore(system, directory)
  const open = (name: string, request: TopicRequest = {}) => store.open(name, request, DEFAULTS, START_MS)
  return { directory, store, open }
}

describe('a topic', () => {
  it('is created with what was asked and defaults for the rest, and comes back the same', () => {
    const { directory, open } = storeIn()
    const created = open('trips', { partitions: 3, codec: 'json', durability: { everyMs: 50 } })
    expect(created).toEqual({
      name: 'trips',
      partitions: 3,
      codec: 'json',
      durability: { everyMs: 50 },
      segmentBytes: 512 * 1024 * 1024,
      segmentEntries: 1_000_000,
      createdMs: START_MS,
    })
    const again = storeIn(directory)
    expect(again.store.get('trips')).toEqual(created)
    expect(again.open('trips')).toEqual(created)
    expect(again.store.list()).toEqual([created])
    expect(JSON.parse(fs.readFileSync(path.join(directory, 'trips', 'topic.json'), 'utf8')).version).toBe(1)
  })

  it('takes new settings when it is opened with them, and keeps those that are left out', () => {
    const { directory, open } = storeIn()
    open('trips', { segmentEntries: 10 })
    expect(open('trips', { segmentBytes: 8192, codec: undefined })).toMatchObject({
      segmentBytes: 8192,
      segmentEntries: 10,
    })
    expect(storeIn(directory).store.get('trips')).toMatchObject({ segmentBytes: 8192, segmentEntries: 10 })
  })

  it('keeps retention that is left out, takes another one whole, and none with an empty one', () => {
    const { directory, open } = storeIn()
    open('trips', { retention: { ms: 5, bytes: 6 }, segmentMs: 7 })
    expect(open('trips')).toMatchObject({ retention: { ms: 5, bytes: 6 }, segmentMs: 7 })
    expect(open('trips', { retention: { records: 8 } }).retention).toEqual({ records: 8 })
    open('trips', { retention: {}, segmentMs: null })
    expect(storeIn(directory).store.get('trips')).toMatchObject({ retention: {}, segmentMs: null })
  })

  it('refuses another partition count or codec by name', () => {
    const { open } = storeIn()
    open('trips', { partitions: 2, codec: 'utf8' })
    expect(refusal('TOPIC_MISMATCH', () => open('trips', { partitions: 3 })).field).toBe('partitions')
    expect(refusal('TOPIC_MISMATCH', () => open('trips', { codec: 'json' })).field).toBe('codec')
    expect(open('trips', { partitions: 2, codec: 'utf8' }).partitions).toBe(2)
  })

  it('that is not there is unknown', () => {
    const { store } = storeIn()
    refusal('UNKNOWN_TOPIC', () => store.get('trips'))
    refusal('UNKNOWN_TOPIC', () => store.delete('trips', START_MS))
    expect(store.list()).toEqual([])
  })

  it('cannot have settings that make no sense; nothing is created then', () => {
    const { directory, open } = storeIn()
    const wrong: [keyof TopicRequest, unknown[]][] = [
      ['partitions', [0, -1, 1.5, 4097, Number.NaN, '1', null]],
      ['codec', ['xml', '', null, 5]],
      ['durability', ['fast', null, {}, { everyMs: 0 }, { everyMs: Number.POSITIVE_INFINITY }, 5]],
      ['segmentBytes', [0, 4095, 2 ** 32, 5000.5]],
      ['segmentEntries', [0, -1, 0.5, Number.POSITIVE_INFINITY]],
      ['retention', [null, 5, [], { ms: -1 }, { bytes: 1.5 }, { records: '5' }, { days: 7 }]],
      ['segmentMs', [0, -1, 1.5, 2 ** 31, '5']],
      ['cleanup', ['wipe', null, 5]],
    ]
    for (const [field, values] of wrong) {
      for (const value of values) {
        const error = refusal('INVALID_ARGUMENT', () => open('trips', { [field]: value }))
        expect(error.field, `${field} ${value}`).toBe(field)
      }
    }
    expect(fs.existsSync(path.join(directory, 'trips'))).toBe(false)
  })

  it('whose settings were damaged is refused by file', () => {
    const { directory, open, store } = storeIn()
    open('trips')
    const file = path.join(directory, 'trips', 'topic.json')
    const config = JSON.parse(fs.readFileSync(file, 'utf8'))
    const damaged = ['', '{', 'null', '[]', '7', '"x"', '\ufffd\u0000', '{"version":1}']
    damaged.push(JSON.stringify({ ...config, partitions: -5 }), JSON.stringify({ ...config, codec: undefined }))
    for (const text of damaged) {
      fs.writeFileSync(file, text)
      expect(() => store.get('trips'), text).toThrow(/SEGMENT_CORRUPT|FORMAT_VERSION/)
    }
    fs.writeFileSync(file, JSON.stringify({ ...config, version: 2 }))
    expect(refusal('FORMAT_VERSION', () => store.get('trips')).file).toBe(file)
  })
})

describe('names', () => {
  const refused = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\\b',
    '/a',
    'a.',
    '.a',
    '-a',
    'a b',
    'ä',
    'a\0b',
    'a\n',
    'x'.repeat(201),
  ]

  it('that are no safe name of a directory are refused, never cleaned', () => {
    const { directory, open, store } = storeIn()
    for (const name of refused) {
      expect(refusal('INVALID_ARGUMENT', () => open(name)).field, JSON.stringify(name)).toBe('topic')
      refusal('INVALID_ARGUMENT', () => store.get(name))
      refusal('INVALID_ARGUMENT', () => store.delete(name, 0))
    }
    for (const name of [undefined, null, 5, {}, ['a']]) refusal('INVALID_ARGUMENT', () => checkName('namespace', name))
    expect(fs.existsSync(directory)).toBe(false)
  })

  it('of letters, digits, dots, dashes and underscores up to 200 long are taken', () => {
    const { store, open } = storeIn()
    const taken = ['a', '0', '_x', 'A.b-c_d', 'x'.repeat(200)]
    for (const name of taken) open(name)
    expect(store.list().map(({ name }) => name)).toEqual([...taken].sort())
    for (const name of taken) store.delete(name, START_MS)
    expect(store.list()).toEqual([])
  })
})

describe('deletion', () => {
  it('removes the topic with all it has, and the name is free again', () => {
    const { directory, store, open } = storeIn()
    open('trips')
    fs.mkdirSync(store.partitionDirectory('trips', 0))
    fs.writeFileSync(path.join(store.partitionDirectory('trips', 0), '0.log'), 'x')
    store.delete('trips', START_MS)
    expect(fs.readdirSync(directory)).toEqual([])
    open('trips', { codec: 'json' })
    expect(store.get('trips').codec).toBe('json')
  })

  it('that was interrupted is not seen, hinders nothing, and is finished later', () => {
    const { directory, store, open } = storeIn()
    open('trips')
    open('stays')
    fs.renameSync(path.join(directory, 'trips'), path.join(directory, '.deleted-trips.5'))
    expect(store.list().map(({ name }) => name)).toEqual(['stays'])
    refusal('UNKNOWN_TOPIC', () => store.get('trips'))
    open('trips')
    store.finishDeletions()
    expect(fs.readdirSync(directory).sort()).toEqual(['stays', 'trips'])
  })

  it('that dies after any of the files is finished by the next open, and frees all of its space', () => {
    for (let left = 0; left < 6; left++) {
      const { directory, open } = storeIn()
      open('trips', { partitions: 2 })
      for (const partition of ['0', '1']) {
        fs.mkdirSync(path.join(directory, 'trips', partition))
        for (const name of ['0.log', '0.index']) fs.writeFileSync(path.join(directory, 'trips', partition, name), 'x')
      }
      let files = left
      class Dying extends NodeFileSystem {
        override removeTree(doomed: string): void {
          for (const name of fs.readdirSync(doomed, { recursive: true }) as string[]) {
            const file = path.join(doomed, name)
            if (!fs.statSync(file).isFile()) continue
            if (files-- === 0) throw Object.assign(new Error('died'), { code: 'EIO' })
            fs.unlinkSync(file)
          }
          super.removeTree(doomed)
        }
      }
      const deleting = () => new TopicStore(new Dying(), directory).delete('trips', START_MS)
      if (left < 5) expect(deleting).toThrow('died')
      else deleting()
      const { store } = storeIn(directory)
      expect(store.list()).toEqual([])
      store.finishDeletions()
      expect(fs.readdirSync(directory)).toEqual([])
    }
  })

  it('stays gone when the power goes after a process that died in it was followed by one that finished it', () => {
    const disk = new SimulatedDisk()
    const directory = '/data/default'
    const store = new TopicStore(disk, directory)
    store.open('trips', {}, DEFAULTS, START_MS)
    // The rename is the first call, its sync the second.
    disk.callsLeft = 1
    expect(() => store.delete('trips', START_MS)).toThrow('died')
    disk.restart()
    expect(store.list()).toEqual([])
    store.finishDeletions()
    disk.losePower(() => 0.9)
    expect(disk.exists(`${directory}/trips`)).toBe(false)
  })

  it('leaves directories alone that are no topics', () => {
    const { directory, store, open } = storeIn()
    open('trips')
    fs.mkdirSync(path.join(directory, 'my backup'))
    fs.copyFileSync(path.join(directory, 'trips', 'topic.json'), path.join(directory, 'my backup', 'topic.json'))
    fs.mkdirSync(path.join(directory, 'empty'))
    expect(store.list().map(({ name }) => name)).toEqual(['trips'])
    store.finishDeletions()
    expect(fs.readdirSync(directory).sort()).toEqual(['empty', 'my backup', 'trips'])
  })
})

describe('a topic is there or not', () => {
  it('whichever call its creation, its change and its deletion died before', () => {
    for (let fatal = 1; ; fatal++) {
      const { directory } = storeIn()
      const { fs: dying, hasDied } = dyingFileSystem(fatal)
      const dyingStore = new TopicStore(dying, directory)
      try {
        dyingStore.open('trips', { segmentEntries: 5 }, DEFAULTS, START_MS)
        dyingStore.open('trips', { segmentEntries: 6 }, DEFAULTS, START_MS)
        dyingStore.delete('trips', START_MS)
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
      }
      const { store, open } = storeIn(directory)
      store.finishDeletions()
      for (const { segmentEntries } of store.list()) expect([5, 6]).toContain(segmentEntries)
      expect(open('trips', { segmentEntries: 7 }).segmentEntries).toBe(7)
      if (!hasDied()) break
    }
  })

  it('since its settings are durable before they have their name, and its directory entry after', () => {
    const { fs: recording, calls } = recordingFileSystem()
    const directory = path.join(temporaryDirectory(), 'default')
    const store = new TopicStore(recording, directory)
    store.open('trips', {}, DEFAULTS, START_MS)
    store.delete('trips', 5)
    expect(calls).toEqual([
      'makeDirectory trips',
      'create topic.json.tmp',
      'write topic.json.tmp',
      'sync topic.json.tmp',
      'rename topic.json',
      'syncDirectory trips',
      'rename .deleted-trips.5',
      'syncDirectory default',
      'removeTree .deleted-trips.5',
    ])
  })
})
