import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type Topic, Walrus } from '@walrus-log/actors'
import { WalrusError } from '@walrus-log/core'
import { compressionProblem } from './feed/compression.js'
import { commonCodec, feed, type OpenInput } from './feed/feeder.js'
import { openSource } from './feed/source.js'
import { CONTENT_BYTES_MAX, formatOfContent } from './format.js'
import { findInputs, flightsInput, type Input } from './input.js'
import { type FilledIngestOptions, fillOptions, type IngestOptions, invalid, topicOf } from './options.js'
import type { FlushReply } from './produce/messages.js'
import { ProducerPool } from './produce/producer-pool.js'
import { nowMs } from './produce/record-sender.js'
import type { IngestHooks } from './progress.js'
import { Resumption, streamName } from './resume/resumption.js'
import { buildSummary, type IngestSummary } from './summary.js'
import { Tally } from './tally.js'
import { verify } from './verify/verify.js'

/** An open topic and how full it was before. */
interface Target {
  topic: Topic
  nextBefore: number[]
  appendedTo: number
}

/**
 * Reads records from files or standard input into a topic, on as many threads as there are producers, and then reads
 * back what it wrote and compares it with the source.
 *
 * Rejects with a `WalrusError`: `INVALID_ARGUMENT` and `TOPIC_MISMATCH` before anything is written. Records that cannot be
 * taken are counted in the summary, as is an end brought about by `hooks.signal`.
 */
export async function ingest(options: IngestOptions, hooks: IngestHooks = {}): Promise<IngestSummary> {
  const filled = fillOptions(options)
  const isDefault = filled.files.length === 0
  const found = isDefault ? [flightsInput()] : await findInputs(filled.files, filled.format, filled.delimiter)
  const inputs: OpenInput[] = []
  try {
    for (const input of found) inputs.push(await openInput(input, hooks.signal))
    hooks.signal?.throwIfAborted()
    const topicName = filled.topic ?? (isDefault ? 'flights' : topicOf(filled.files[0]))
    return await ingestInputs(inputs, topicName, filled, hooks)
  } finally {
    for (const { source } of inputs) await source?.close()
  }
}

async function ingestInputs(
  inputs: readonly OpenInput[],
  topicName: string,
  options: FilledIngestOptions,
  hooks: IngestHooks,
): Promise<IngestSummary> {
  const isOfFiles = inputs.every(({ path, sizeBytes }) => path !== null && sizeBytes !== null)
  if (options.resume && !isOfFiles) {
    throw invalid('resume', 'option resume: only files can be read once more from their beginning; name files')
  }
  const codec = commonCodec(inputs)
  if (!codec) throw invalid('files', 'plain lines and JSON cannot go to one topic; ingest them one after the other')
  if (options.key !== undefined && codec === 'utf8') {
    throw invalid('key', 'option key: plain lines have no fields; take another format, or leave the key out')
  }
  const walrus = await Walrus.open(options.dir, { durability: options.durability, namespace: options.namespace })
  try {
    const target = await openTarget(walrus, topicName, options, codec)
    const resumption = isOfFiles ? await openResumption(walrus, target, inputs, options) : undefined
    return await new IngestRun(walrus, target, inputs, options, hooks, resumption).run()
  } finally {
    await walrus.close()
  }
}

function openResumption(
  walrus: Walrus,
  { topic }: Target,
  inputs: readonly OpenInput[],
  { key, producers, resume }: FilledIngestOptions,
): Promise<Resumption> {
  const directory = join(walrus.directory, topic.name)
  const { partitions } = topic.config
  return Resumption.open({ directory, partitions, inputs, key, producers, isResume: resume })
}

/** Settles an input's format, by a look into it if need be. */
async function openInput(input: Input, signal: AbortSignal | undefined): Promise<OpenInput> {
  if (input.format) return { ...input, format: input.format, source: undefined }
  const source = await openSource(input, signal)
  for (;;) {
    const { bytes, isEnd } = await source.peek(CONTENT_BYTES_MAX)
    const problem = compressionProblem(bytes)
    if (problem !== undefined) {
      await source.close()
      throw invalid('files', `${input.name} is ${problem}; nothing was written`)
    }
    const format = formatOfContent(bytes, isEnd || bytes.length === CONTENT_BYTES_MAX)
    if (format) return { ...input, format, source }
  }
}

async function openTarget(
  walrus: Walrus,
  name: string,
  { partitions, durability, compression }: FilledIngestOptions,
  codec: 'json' | 'utf8',
): Promise<Target> {
  const existing = (await walrus.topics()).find((topic) => topic.name === name)
  if (existing !== undefined && existing.codec !== codec) {
    throw new WalrusError(
      'TOPIC_MISMATCH',
      `topic ${name} has the codec ${existing.codec}, and these records are ${codec}; name another --topic, or the --format that they are in`,
      { field: 'codec' },
    )
  }
  const partitionsOfNew = partitions ?? Math.max(2, availableParallelism())
  // A topic that exists keeps what was not asked for, whatever the host's cores.
  const settings = { partitions: existing ? partitions : partitionsOfNew, codec, durability, compression }
  const topic = await walrus.topic(name, settings)
  const stats = await topic.stats()
  return { topic, nextBefore: stats.partitions.map(({ next }) => next), appendedTo: stats.records }
}

/** One run into an open topic. */
class IngestRun {
  readonly #walrus: Walrus
  readonly #target: Target
  readonly #inputs: readonly OpenInput[]
  readonly #options: FilledIngestOptions
  readonly #hooks: IngestHooks
  /** Undefined where the source cannot be read once more. */
  readonly #resumption: Resumption | undefined
  readonly #tally: Tally
  readonly #bytesTotal: number | null

  constructor(
    walrus: Walrus,
    target: Target,
    inputs: readonly OpenInput[],
    options: FilledIngestOptions,
    hooks: IngestHooks,
    resumption: Resumption | undefined,
  ) {
    this.#resumption = resumption
    this.#walrus = walrus
    this.#target = target
    this.#inputs = inputs
    this.#options = options
    this.#hooks = hooks
    this.#tally = new Tally((reject) => hooks.onReject?.(reject))
    const sizes = inputs.map(({ sizeBytes }) => sizeBytes)
    this.#bytesTotal = sizes.includes(null) ? null : sizes.reduce((sum: number, size) => sum + (size ?? 0), 0)
  }

  async run(): Promise<IngestSummary> {
    const { signal } = this.#hooks
    const flushed = await this.#produce()
    const stats = this.#walrus.stats()
    const verifyResult = this.#options.verify && !signal?.aborted ? await this.#verify(flushed) : null
    return buildSummary({
      options: this.#options,
      files: this.#inputs.map(({ name }) => name),
      config: this.#target.topic.config,
      appendedTo: this.#target.appendedTo,
      tally: this.#tally,
      stats,
      seconds: secondsOf(flushed),
      verifyResult,
      isInterrupted: signal?.aborted ?? false,
    })
  }

  #tellPlan(there: readonly number[]): void {
    const { topic, appendedTo } = this.#target
    const { name, partitions, durability } = topic.config
    const { dir, producers, resume } = this.#options
    const resumed = resume ? there.reduce((sum, records) => sum + records, 0) : undefined
    this.#hooks.onPlan?.({
      topic: name,
      dir,
      partitions,
      durability,
      producers,
      inputs: this.#inputs,
      appendedTo,
      resumed,
    })
  }

  async #produce(): Promise<FlushReply[]> {
    const { producers, key, strict } = this.#options
    const { signal } = this.#hooks
    const { topic, nextBefore } = this.#target
    const { partitions } = topic.config
    const streamsCount =
      this.#resumption?.streams ?? (key === undefined ? partitions * Math.ceil(producers / partitions) : partitions)
    const streams = Array.from({ length: this.#resumption?.streamsOpened ?? streamsCount }, (_, stream) => ({
      stream,
      partition: stream % partitions,
      producerId: this.#resumption && streamName(stream, partitions),
    }))
    const pool = await ProducerPool.start({
      threadsCount: producers,
      workerData: { handle: this.#walrus.handle(), topic: this.#target.topic.name },
      streams,
      streamsCount,
      partitions,
      keyField: key,
      isStrict: strict,
      tally: this.#tally,
      onTallied: () => this.#tellProgress(startMs),
    })
    // The threads are up: what they take from here on is the time that progress is measured by.
    const startMs = nowMs()
    try {
      const there = this.#resumption?.begin(pool.nexts, nextBefore) ?? []
      this.#tellPlan(there)
      await pool.begin(there)
      await feed(this.#inputs, pool, { keyField: key, signal })
      await pool.idle()
      const flushed = await pool.flush()
      await pool.end()
      return flushed
    } finally {
      await pool.terminate()
    }
  }

  #tellProgress(startMs: number): void {
    this.#hooks.onProgress?.({
      phase: 'ingest',
      records: this.#tally.content.records,
      recordsTotal: null,
      bytes: this.#tally.bytesRead,
      bytesTotal: this.#bytesTotal,
      seconds: (nowMs() - startMs) / 1000,
    })
  }

  /** Null if it was interrupted. */
  async #verify(flushed: FlushReply[]): Promise<VerifyResult | null> {
    const { topic, nextBefore } = this.#target
    const { signal, onProgress } = this.#hooks
    const { partitions } = await topic.stats()
    const resumption = this.#resumption
    const offsets = resumption?.offsets ?? nextBefore
    const startMs = nowMs()
    const { records: recordsTotal, bytes: bytesTotal } = this.#tally.content
    try {
      const problems = await verify({
        handle: this.#walrus.handle(),
        topic: topic.name,
        ranges: partitions.map(({ partition, first, next }) => {
          return { partition, from: Math.max(offsets[partition], first), next }
        }),
        chainsSent: flushed.flatMap(({ chains }) => chains),
        sequencesOf: resumption && (({ stream }) => resumption.sequencesOf(stream)),
        contentSource: this.#tally.content,
        onProgress: (records, seconds) => {
          const bytes = recordsTotal > 0 ? (records / recordsTotal) * bytesTotal : 0
          onProgress?.({ phase: 'verify', records, recordsTotal, bytes, bytesTotal, seconds })
        },
        signal,
      })
      return { problems, seconds: (nowMs() - startMs) / 1000 }
    } catch (error) {
      if (signal?.aborted) return null
      throw error
    }
  }
}

export interface VerifyResult {
  problems: string[]
  seconds: number
}

/** From the first record sent to the last one acknowledged. */
function secondsOf(flushed: readonly FlushReply[]): number {
  const times = flushed.flatMap(({ time }) => (time ? [time] : []))
  if (times.length === 0) return 0
  const firstSentMs = Math.min(...times.map((time) => time.firstSentMs))
  return (Math.max(...times.map((time) => time.acknowledgedMs)) - firstSentMs) / 1000
}
