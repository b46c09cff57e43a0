import { availableParallelism } from 'node:os'
import { addContent } from '../checksum.js'
import type { Cut } from '../feed/chunk-cutter.js'
import { CHUNK_BYTES, type Sink, type Submission } from '../feed/sink.js'
import type { ParserInput } from '../parse/parsed-record.js'
import type { CutResult, Tally } from '../tally.js'
import { Sequencer } from '../thread/sequencer.js'
import { Thread } from '../thread/thread.js'
import {
  type ChunkReply,
  emptyChunkReply,
  type FlushReply,
  type Pack,
  type ProducerReply,
  type ProducerRequest,
  type ProducerWorkerData,
  type StartedReply,
  type StreamPlace,
} from './messages.js'

/** One to work on, and one so that the next is there. */
const CHUNKS_PER_THREAD_MAX = 2

/** Chunks grow with records; so that large ones do not add up, no more than this is on its way (or one chunk). */
const BYTES_IN_FLIGHT_MAX = 128 * 1024 * 1024

export const producersDefault = (): number => Math.max(2, Math.min(availableParallelism(), 8))

export interface ProducerPoolOptions {
  threadsCount: number
  workerData: Omit<ProducerWorkerData, 'streams'>
  /** All streams, those of earlier runs included; the run's own are the first `streamsCount`. */
  streams: readonly StreamPlace[]
  streamsCount: number
  partitions: number
  keyField: string | undefined
  isStrict: boolean
  tally: Tally
  /** Called when the tally has grown. */
  onTallied(): void
}

/** A submission on its way. */
interface Flight {
  submission: Submission
  chunksCount: 0 | 1
  bytes: number
}

interface Parsed {
  flight: Flight
  reply: ChunkReply
}

/**
 * The producers' threads, seen from the thread that feeds them: holds a bounded number of chunks, and adds what became
 * of them to the tally in the source's order.
 *
 * Invariant: chunksInFlight <= CHUNKS_PER_THREAD_MAX * threads; a chunk is in flight until its result is in `#tallied`.
 */
export class ProducerPool implements Sink {
  readonly #options: ProducerPoolOptions
  readonly #threads: Thread<ProducerRequest, ProducerReply>[]
  /** Results, on their way to the tally. */
  readonly #tallied: Sequencer<CutResult>
  /** Parsed chunks, on their way to their owners; used where order matters. */
  readonly #parsed: Sequencer<Parsed>
  readonly #isOrdered: boolean
  /** By stream: one past the last sequence that its runs before this one have in the log. */
  readonly nexts: number[] = []
  readonly #buffersFree: Uint8Array<ArrayBuffer>[] = []
  #submittedCount = 0
  #ownedCount = 0
  #chunksInFlight = 0
  #bytesInFlight = 0
  #isStopped = false
  #failure: unknown
  #wake: () => void = () => {}

  private constructor(options: ProducerPoolOptions) {
    this.#options = options
    this.#isOrdered = options.isStrict || options.keyField !== undefined
    const url = new URL('./producer.worker.js', import.meta.url)
    this.#threads = Array.from({ length: options.threadsCount }, (_, number) => {
      const streams = options.streams.filter(({ stream }) => stream % options.threadsCount === number)
      return new Thread(url, { ...options.workerData, streams })
    })
    this.#tallied = new Sequencer((result) => {
      options.tally.add(result)
      options.onTallied()
    })
    this.#parsed = new Sequencer((parsed) => this.#sendPacks(parsed))
  }

  static async start(options: ProducerPoolOptions): Promise<ProducerPool> {
    const pool = new ProducerPool(options)
    try {
      const started = await Promise.all(pool.#threads.map((thread) => thread.started()))
      for (const { nexts } of started as StartedReply[]) {
        for (const { stream, next } of nexts) pool.nexts[stream] = next
      }
    } catch (error) {
      await pool.terminate()
      throw error
    }
    return pool
  }

  /** Says how many records of each stream are there already. */
  async begin(there: readonly number[]): Promise<void> {
    const known = there.map((records, stream) => ({ stream, records }))
    await Promise.all(
      this.#threads.map((thread, number) => {
        const own = known.filter(({ stream }) => stream % this.#threads.length === number)
        return thread.call({ kind: 'begin', there: own })
      }),
    )
  }

  /** True once `strict` has met a reject, or a thread has failed: nothing more is taken. */
  get isStopped(): boolean {
    return this.#isStopped || this.#failure !== undefined
  }

  /** Whether a thread has nothing to do. */
  get isHungry(): boolean {
    return this.#chunksInFlight < this.#threads.length
  }

  allocate(): Uint8Array<ArrayBuffer> {
    return this.#buffersFree.pop() ?? new Uint8Array(CHUNK_BYTES)
  }

  /** Hands a cut on. Resolves when there is room for another one. */
  async submit(submission: Submission): Promise<void> {
    this.#throwFailure()
    if (this.#isStopped) return
    const sequence = this.#submittedCount++
    const { cut } = submission
    if (cut.kind === 'refusal') {
      const { line, reason, newlines } = cut
      const reply = { ...emptyChunkReply(), newlines, rejectsCount: 1, rejects: [{ line, reason }] }
      this.#takeReply(sequence, { submission, chunksCount: 0, bytes: 0 }, reply)
    } else {
      void this.#parse(sequence, { submission, chunksCount: 1, bytes: cut.bytes.length }, cut)
    }
    while (!this.#hasRoom() && !this.#failure) await this.changed()
    this.#throwFailure()
  }

  /** Resolves when everything submitted has been sent or rejected. */
  async idle(): Promise<void> {
    while (this.#chunksInFlight > 0 && !this.#failure) await this.changed()
    this.#throwFailure()
  }

  /** Resolves when everything sent is acknowledged. */
  async flush(): Promise<FlushReply[]> {
    const replies = await Promise.all(this.#threads.map((thread) => thread.call({ kind: 'flush' })))
    return replies as FlushReply[]
  }

  async end(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()))
  }

  async terminate(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()))
  }

  async #parse(sequence: number, flight: Flight, cut: Extract<Cut, { kind: 'chunk' }>): Promise<void> {
    const { keyField, isStrict, partitions, streamsCount } = this.#options
    const { rowsStart, columns, delimiter, format } = flight.submission
    const { bytes, length, spans } = cut
    const input: ParserInput = { format, bytes, length, spans, rowsStart, columns, delimiter, keyField }
    // By the chunk's number, so that another run over the same source does the same.
    const stream = sequence % streamsCount
    const packing = this.#isOrdered ? { partitions, isStrict } : undefined
    const transfer = spans ? [bytes.buffer, spans.buffer] : [bytes.buffer]
    const thread = this.#isOrdered
      ? this.#threads.reduce((least, other) => (other.pendingCount < least.pendingCount ? other : least))
      : this.#threads[stream % this.#threads.length]
    this.#chunksInFlight += flight.chunksCount
    this.#bytesInFlight += flight.bytes
    try {
      const reply = (await thread.call({ kind: 'parse', input, stream, packing }, transfer)) as ChunkReply
      if (reply.bytes?.length === CHUNK_BYTES) this.#buffersFree.push(reply.bytes)
      this.#takeReply(sequence, flight, reply)
    } catch (error) {
      this.#fail(error)
    }
  }

  #takeReply(sequence: number, flight: Flight, reply: ChunkReply): void {
    if (this.#isOrdered) this.#parsed.put(sequence, { flight, reply })
    else this.#complete(sequence, flight, reply)
  }

  /** Called in the source's order. */
  #sendPacks({ flight, reply }: Parsed): void {
    if (this.#isStopped) {
      this.#release(flight)
      return
    }
    const sequence = this.#ownedCount++
    if (this.#options.isStrict && reply.rejectsCount > 0) this.#isStopped = true
    void this.#sendAll(sequence, flight, reply)
  }

  async #sendAll(sequence: number, flight: Flight, reply: ChunkReply): Promise<void> {
    try {
      const sent = await Promise.all(reply.packs.map((pack) => this.#send(pack)))
      for (const { content, there, rejectsCount, rejects } of sent) {
        addContent(reply.content, content)
        addContent(reply.there, there)
        reply.rejectsCount += rejectsCount
        reply.rejects.push(...rejects)
        if (this.#options.isStrict && rejectsCount > 0) this.#isStopped = true
      }
      reply.rejects.sort((left, right) => left.line - right.line)
      this.#complete(sequence, flight, reply)
    } catch (error) {
      this.#fail(error)
    }
  }

  #send(pack: Pack): Promise<ChunkReply> {
    const { values, ends, lines, stream } = pack
    const transfer = [values.buffer, ends.buffer, lines.buffer]
    return this.#threads[stream % this.#threads.length].call({ kind: 'send', pack }, transfer) as Promise<ChunkReply>
  }

  #complete(sequence: number, flight: Flight, reply: ChunkReply): void {
    const { cut, file, fileIndex } = flight.submission
    const { content, there, rejectsCount, rejects, unreadBytes } = reply
    const sourceBytes = cut.sourceBytes - unreadBytes
    const isLastLine = cut.kind === 'chunk' && cut.endsWithinLine && unreadBytes === 0
    const lines = reply.newlines + (isLastLine ? 1 : 0)
    this.#tallied.put(sequence, { file, fileIndex, lines, sourceBytes, content, there, rejectsCount, rejects })
    this.#release(flight)
  }

  #release({ chunksCount, bytes }: Flight): void {
    this.#chunksInFlight -= chunksCount
    this.#bytesInFlight -= bytes
    this.#wake()
  }

  #hasRoom(): boolean {
    if (this.#chunksInFlight >= this.#threads.length * CHUNKS_PER_THREAD_MAX) return false
    return this.#bytesInFlight < BYTES_IN_FLIGHT_MAX
  }

  /** Resolves when something has moved. One waits at a time: the thread that feeds. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #fail(error: unknown): void {
    this.#failure ??= error ?? new Error('a producer failed')
    this.#wake()
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure
  }
}
