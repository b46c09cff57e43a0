import { RECORD_BYTES_MAX } from '@walrus-log/core'
import { codecOf, type Format } from '../format.js'
import type { Input } from '../input.js'
import { ChunkText } from '../parse/chunk-text.js'
import { readHeader } from '../parse/csv-parser.js'
import { CHUNK_BYTES, type Submission } from '../produce/producer-pool.js'
import type { Boundaries } from './boundaries.js'
import { type Cut, ChunkCutter } from './chunk-cutter.js'
import { CsvBoundaries } from './csv-boundaries.js'
import { JsonBoundaries } from './json-boundaries.js'
import { NewlineBoundaries } from './newline-boundaries.js'
import { openSource, type Source } from './source.js'

/** Where cuts go. */
export interface Sink {
  readonly isStopped: boolean
  readonly isHungry: boolean
  allocate(): Uint8Array<ArrayBuffer>
  submit(submission: Submission): Promise<void>
}

/** An input whose format is known; opened already where that took a look into it. */
export interface OpenInput extends Input {
  format: Format
  source: Source | undefined
}

/** Reads the inputs one after another, and hands them on cut into chunks. Ends early if the signal or the sink says so. */
export async function feed(inputs: readonly OpenInput[], sink: Sink, options: FeedOptions): Promise<void> {
  for (const [fileIndex, input] of inputs.entries()) {
    if (options.signal?.aborted || sink.isStopped) return
    const source = input.source ?? (await openSource(input, options.signal))
    try {
      await feedSource(source, new InputFeed(input, fileIndex, sink, options.keyField), options.signal)
    } finally {
      await source.close()
    }
  }
}

export interface FeedOptions {
  keyField: string | undefined
  signal: AbortSignal | undefined
}

async function feedSource(source: Source, feed: InputFeed, signal: AbortSignal | undefined): Promise<void> {
  while (!feed.isOver) {
    const bytesRead = await source.read(feed.cutter.space())
    // What came of a source that did not end is not its last record.
    if (signal?.aborted) return
    if (bytesRead === 0) return feed.finish()
    await feed.filled(bytesRead)
  }
}

function boundariesOf({ format, delimiter }: OpenInput): Boundaries {
  if (format === 'json') return new JsonBoundaries()
  return format === 'csv' ? new CsvBoundaries(delimiter) : new NewlineBoundaries()
}

/** One input on its way to the sink. */
class InputFeed {
  readonly cutter: ChunkCutter
  readonly #input: OpenInput
  readonly #fileIndex: number
  readonly #sink: Sink
  readonly #keyField: string | undefined
  /** Of CSV, once its header is read. */
  #columns: readonly string[] | undefined
  #isRefused = false

  constructor(input: OpenInput, fileIndex: number, sink: Sink, keyField: string | undefined) {
    this.#input = input
    this.#fileIndex = fileIndex
    this.#sink = sink
    this.#keyField = keyField
    this.cutter = new ChunkCutter({
      boundaries: boundariesOf(input),
      chunkBytes: CHUNK_BYTES,
      recordBytesMax: RECORD_BYTES_MAX,
      allocate: () => sink.allocate(),
    })
  }

  get isOver(): boolean {
    return this.cutter.isOver || this.#isRefused || this.#sink.isStopped
  }

  async filled(bytesRead: number): Promise<void> {
    this.cutter.filled(bytesRead)
    for (;;) {
      const cut = this.cutter.cut(this.#sink.isHungry)
      if (!cut) return
      await this.#submit(cut)
    }
  }

  async finish(): Promise<void> {
    for (const cut of this.cutter.finish()) await this.#submit(cut)
  }

  async #submit(cut: Cut): Promise<void> {
    if (this.#isRefused) return
    const { name: file, delimiter, format } = this.#input
    const submission = { cut, file, fileIndex: this.#fileIndex, rowsStart: 0, columns: [], delimiter, format }
    if (format !== 'csv' || cut.kind === 'refusal') return this.#sink.submit(submission)
    if (this.#columns) return this.#sink.submit({ ...submission, columns: this.#columns })
    const header = readHeader(new ChunkText(cut.bytes, cut.length), delimiter, this.#keyField)
    if (!header) return this.#sink.submit({ ...submission, rowsStart: cut.length })
    if ('reason' in header) {
      this.#isRefused = true
      const { reason, line } = header
      return this.#sink.submit({ ...submission, cut: { kind: 'refusal', reason, line, newlines: line, sourceBytes: 0 } })
    }
    this.#columns = header.columns
    return this.#sink.submit({ ...submission, columns: header.columns, rowsStart: header.rowsStart })
  }
}

/** The codec that all inputs of a run agree on. */
export function commonCodec(inputs: readonly OpenInput[]): 'json' | 'utf8' | undefined {
  const codecs = new Set(inputs.map(({ format }) => codecOf(format)))
  return codecs.size === 1 ? [...codecs][0] : undefined
}
