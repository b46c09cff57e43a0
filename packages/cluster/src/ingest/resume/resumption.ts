import { resolve } from 'node:path'
import { WalrusError } from '@walrus-log/core'
import type { OpenInput } from '../feed/feeder.js'
import {
  begin,
  emptyJournal,
  type Journal,
  type JournalSource,
  type Mapping,
  recordsThere,
  sequencesOf,
  settle,
  sourceOf,
  streamsMax,
} from './journal.js'
import { endsWithLine, fingerprint, readJournal, writeJournal } from './journal-file.js'

/** Names that the streams' producers have, one for each round over the partitions. */
export const streamName = (stream: number, partitions: number): string =>
  `walrus-ingest-${Math.floor(stream / partitions)}`

export interface ResumptionOptions {
  /** The topic's. */
  directory: string
  partitions: number
  inputs: readonly OpenInput[]
  key: string | undefined
  producers: number
  /** Go on with what an earlier run has left of the same files. */
  isResume: boolean
}

/**
 * What a run over files does to be resumable: it keeps to streams that depend on the source alone, and says in the
 * topic's journal where it began. `open` before the producers are, `begin` when they have said how far they came.
 */
export class Resumption {
  /** How many streams the source has, and how many have to be opened, so that all runs before can be counted. */
  readonly streams: number
  readonly streamsOpened: number
  readonly #options: ResumptionOptions
  readonly #journal: Journal
  #source: JournalSource

  private constructor(options: ResumptionOptions, journal: Journal, source: JournalSource) {
    this.#options = options
    this.#journal = journal
    this.#source = source
    this.streams = source.mapping.streams
    this.streamsOpened = Math.max(this.streams, streamsMax(journal))
  }

  /** Throws `INVALID_ARGUMENT` where the files, or how they are read, are not what they were. */
  static async open(options: ResumptionOptions): Promise<Resumption> {
    const { directory, isResume } = options
    let journal = emptyJournal()
    try {
      journal = readJournal(directory)
    } catch (error) {
      // Who begins anew needs nothing of it.
      if (isResume) throw error
    }
    const source = await describe(options)
    const before = sourceOf(journal, paths(options.inputs))
    if (!isResume || before === undefined) return new Resumption(options, journal, source)
    await checkUnchanged(before, source)
    const mapping = { ...source.mapping, streams: before.mapping.streams }
    return new Resumption(options, journal, { ...before, files: source.files, mapping })
  }

  /**
   * Notes durably that the run begins. `nexts` are, by stream, one past the last sequence that is in the log; `offsets`
   * the partitions' ends. Returns how many records of each stream are there already.
   */
  begin(nexts: readonly number[], offsets: readonly number[]): number[] {
    const settled = settle(this.#journal, nexts)
    const own = { ...this.#source, runs: settle({ sources: [this.#source] }, nexts).sources[0].runs }
    const there = recordsThere(own)
    if (own.runs.length === 0) own.offsets = [...offsets]
    const begun = begin(settled, own, nexts)
    this.#source = begun.sources.at(-1)!
    writeJournal(this.#options.directory, begun)
    return there
  }

  /** Where, by partition, the source's first record may be. */
  get offsets(): readonly number[] {
    return this.#source.offsets
  }

  sequencesOf(stream: number): [number, number][] {
    return sequencesOf(this.#source, stream)
  }
}

const paths = (inputs: readonly OpenInput[]): string[] => inputs.map(({ path }) => resolve(path!))

async function describe({ inputs, key, partitions, producers }: ResumptionOptions): Promise<JournalSource> {
  const files = inputs.map(async ({ path, sizeBytes }) => ({
    path: resolve(path!),
    bytes: sizeBytes!,
    fingerprint: await fingerprint(path!, sizeBytes!),
  }))
  const mapping: Mapping = {
    formats: inputs.map(({ format }) => format),
    delimiters: inputs.map(({ delimiter }) => delimiter),
    key: key ?? null,
    // A key has its partition, and one stream there; chunks keep every producer busy.
    streams: key === undefined ? partitions * Math.ceil(producers / partitions) : partitions,
  }
  return { files: await Promise.all(files), mapping, offsets: [], runs: [] }
}

async function checkUnchanged(before: JournalSource, now: JournalSource): Promise<void> {
  for (const name of ['formats', 'delimiters', 'key'] as const) {
    if (JSON.stringify(before.mapping[name]) === JSON.stringify(now.mapping[name])) continue
    throw changed(
      `the files were ingested with ${name} ${JSON.stringify(before.mapping[name])}`,
      'resume with the same',
    )
  }
  for (const [index, { path, bytes, fingerprint: print }] of before.files.entries()) {
    const isLast = index === before.files.length - 1
    const hasGrown = now.files[index].bytes > bytes
    const isSame = now.files[index].bytes === bytes || (isLast && hasGrown)
    if (!isSame || (await fingerprint(path, bytes)) !== print) {
      throw changed(`${path} is not the file any more that was being ingested`, 'ingest it without --resume')
    }
    if (!hasGrown) continue
    // What was its last record stands elsewhere now.
    if (before.mapping.formats[index] === 'json') {
      throw changed(
        `${path} has grown, which a file of format json cannot be resumed after`,
        'ingest it without --resume',
      )
    }
    // The earlier run may have taken the beginning of the line as a record, which nothing can take back.
    if (!(await endsWithLine(path, bytes))) {
      throw changed(
        `${path} had a last line without an end when it was being ingested (up to byte ${bytes}), and that line goes on now`,
        'ingest what is new from a file of its own, or all of it without --resume',
      )
    }
  }
}

function changed(what: string, todo: string): WalrusError {
  return new WalrusError('INVALID_ARGUMENT', `${what}; ${todo}. Nothing was written`, { field: 'resume' })
}
