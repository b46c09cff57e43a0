import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { Walrus } from '#actors/index.js'

// A log in a place that is full, read-only or gone. Runs in a namespace of its own, where it may mount what it likes. Says on its
// standard output what became of it, as JSON.

const { place, what } = /** @type {{ place: string, what: 'full' | 'read-only' | 'gone' }} */ (
  JSON.parse(process.argv[2])
)
const directory = path.join(place, 'data')
const options = /** @type {const} */ ({ codec: 'utf8', segmentBytes: 128 << 10, durability: 'disk' })

/** @param {string[]} args */
function mount(...args) {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`)
}

/** @param {import('#actors/index.js').Topic<string>} topic */
async function read(topic) {
  /** @type {Record<number, string>} */
  const values = {}
  for await (const batch of topic.read()) for (const { offset, value } of batch) values[offset] = value
  return values
}

/**
 * Appends until so many were refused, several at a time. Says what was acknowledged where.
 *
 * @param {import('#actors/index.js').Topic<string>} topic
 * @param {{ name: string, refusals?: number, count?: number }} limits
 */
async function append(topic, { name, refusals = Number.POSITIVE_INFINITY, count = Number.POSITIVE_INFINITY }) {
  const producer = topic.producer()
  /** @type {Record<number, string>} */
  const kept = {}
  /** @type {string[]} */
  const codes = []
  for (let index = 0; index < count && codes.length < refusals; index += 4) {
    const values = [0, 1, 2, 3].map((by) => `${name} ${index + by} ${'x'.repeat(((index + by) * 397) % 9000)}`)
    await Promise.all(
      values.map(async (value) => {
        try {
          kept[(await producer.append(value)).offset] = value
        } catch (error) {
          codes.push(/** @type {{ code: string }} */ (error).code)
        }
      }),
    )
  }
  await producer.close().catch(() => {})
  return { kept, codes }
}

/** @param {Record<number, string>} found @param {Record<number, string>} kept */
const isSame = (found, kept) =>
  Object.keys(found).length === Object.keys(kept).length &&
  Object.entries(kept).every(([offset, value]) => found[Number(offset)] === value)

const open = () => Walrus.open(directory, { recovery: 'strict' })

/** @param {Walrus} walrus @returns {Promise<import('#actors/index.js').Topic<string>>} */
const topicOf = (walrus) => walrus.topic('t', options)

/** @param {() => Promise<unknown>} action */
async function codeOf(action) {
  try {
    await action()
    return 'none'
  } catch (error) {
    return /** @type {{ code: string }} */ (error).code
  }
}

async function full() {
  mount('-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', place)
  const filler = path.join(place, 'filler')
  fs.writeFileSync(filler, Buffer.alloc(1 << 20))
  let walrus = await open()
  let topic = await topicOf(walrus)
  const { kept, codes } = await append(topic, { name: 'before', refusals: 40 })
  const wasWhole = isSame(await read(topic), kept)
  fs.rmSync(filler)
  // The first after a failure may find it not mended yet.
  const after = await append(topic, { name: 'after', count: 40 })
  Object.assign(kept, after.kept)
  const isWholeAfter = isSame(await read(topic), kept)
  await walrus.close()
  walrus = await open()
  topic = await topicOf(walrus)
  const isWholeAgain = isSame(await read(topic), kept)
  await walrus.close()
  return {
    acknowledged: Object.keys(kept).length,
    codes: [...new Set(codes)],
    wasWhole,
    keptAfter: Object.keys(after.kept).length,
    isWholeAfter,
    isWholeAgain,
  }
}

async function readOnly() {
  mount('-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', place)
  let walrus = await open()
  const { kept } = await append(await topicOf(walrus), { name: 'a', count: 100 })
  await walrus.close()
  mount('-o', 'remount,ro', place)
  const code = await codeOf(async () => {
    walrus = await open()
    try {
      await (await topicOf(walrus)).producer().append('b')
    } finally {
      await walrus.close()
    }
  })
  mount('-o', 'remount,rw', place)
  walrus = await open()
  const isWholeAgain = isSame(await read(await topicOf(walrus)), kept)
  await walrus.close()
  return { code, isWholeAgain }
}

async function gone() {
  let walrus = await open()
  const topic = await topicOf(walrus)
  await append(topic, { name: 'before', count: 20 })
  fs.rmSync(directory, { recursive: true })
  // What is open can still be written; the next segment cannot be made.
  const { codes } = await append(topic, { name: 'after', refusals: 8 })
  const readCode = await codeOf(() => read(topic))
  await walrus.close()
  walrus = await open()
  const topics = await walrus.topics()
  await walrus.close()
  return { codes: [...new Set(codes)], readCode, topicsAfter: topics.length }
}

const outcome = await { full, 'read-only': readOnly, gone }[what]()
process.stdout.write(`${JSON.stringify(outcome)}\n`)
