import { RECORD_BYTES_MAX } from '@walrus-log/core'
import { codecOf, type Format } from '../format.js'
import type { Input } from '../input.js'
import { ChunkText } from '../parse/chunk-text.js'
import { readHeader } from '../parse/csv-parser.js'
import { boundariesOf } from './boundaries-of.js'
import { ChunkCutter, type Cut } from './chunk-cutter.js'
import { CHUNK_BYTES, type Sink } from './sink.js'
import { openSource, type Source } from './source.js'

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
    const arrival = source.arrival()
    if (arrival && !(await feed.serveUntil(arrival))) return
    const bytesRead = await source.read(feed.cutter.space())
    // What came of a source that did not end is not its last record.
    if (signal?.aborted) return
    if (bytesRead === 0) return feed.finish()
    await feed.filled(bytesRead)
  }
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
      boundaries: boundariesOf(input.format, input.delimiter),
      chunkBytes: CHUNK_BYTES,
      recordBytesMax: RECORD_BYTES_MAX,
      allocate: () => sink.allocate(),
    })
  }

  get isOver(): boolean {
    return this.cutter.isOver || this.#isRefused || this.#sink.isStopped
  }

  /**
   * Hands on what is there while the source gives nothing, so that no record waits for the next. False if the sink stopped
   * before the arrival.
   */
  async serveUntil(arrival: Promise<void>): Promise<boolean> {
    let isThere = false
    const arrived = arrival.finally(() => {
      isThere = true
    })
    // Told to whoever waits below; the error is met once, whether or not that is still the case.
    arrived.catch(() => {})
    for (;;) {
      await this.#cutAll()
      if (this.#sink.isStopped) return false
      await Promise.race([arrived, this.#sink.changed()])
      if (isThere) {
        await arrived
        return true
      }
    }
  }

  async filled(bytesRead: number): Promise<void> {
    this.cutter.filled(bytesRead)
    await this.#cutAll()
  }

  async #cutAll(): Promise<void> {
    for (;;) {
      // A file is cut where its bytes say, whoever has nothing to do: another run over it then cuts it the same.
      const cut = this.cutter.cut(this.#input.sizeBytes === null && this.#sink.isHungry)
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
      return this.#sink.submit({
        ...submission,
        cut: { kind: 'refusal', reason, line, newlines: line, sourceBytes: 0 },
      })
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
