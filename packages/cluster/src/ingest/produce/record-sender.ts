import type { Producer, Topic } from '@walrus-log/actors'
import { isWalrusError, RECORD_BYTES_MAX, WalrusError } from '@walrus-log/core'
import { type Chain, chainNext } from '../checksum.js'
import type { FlushReply, StreamPlace } from './messages.js'

/** A stream's end in this thread. */
interface Stream {
  producer: Producer
  /** Over all of the stream's records, those included that an earlier run has sent. */
  chain: Chain
  /** How many of the next records are in the log already. */
  thereLeft: number
}

/** What became of a record. */
export type Sent = 'sent' | 'there' | 'full'

/** Sends records into this thread's streams, and keeps a chain over what each of them has. */
export class RecordSender {
  readonly #streams = new Map<number, Stream>()
  #full: Producer | undefined
  #firstSentMs: number | undefined

  /** Opens the streams; resolves when they know how far they came. */
  static async open(topic: Topic, places: readonly StreamPlace[]): Promise<RecordSender> {
    const sender = new RecordSender()
    const opening = places.map(async ({ stream, partition, producerId }) => {
      const producer = topic.producer({ partition, producerId })
      await producer.ready()
      const chain = { partition, producerId: producer.id, stream, records: 0, chain: 0 }
      sender.#streams.set(stream, { producer, chain, thereLeft: 0 })
    })
    await Promise.all(opening)
    return sender
  }

  /** The streams' next sequences. */
  nexts(): { stream: number; next: number }[] {
    return [...this.#streams].map(([stream, { producer }]) => ({ stream, next: producer.lastSequence + 1 }))
  }

  /** The first `records` of the stream that are to be sent are in the log already. */
  skip(stream: number, records: number): void {
    this.#streamOf(stream).thereLeft = records
  }

  /**
   * `full` if there was no room: `await ready()`, and try again. Throws what makes this record impossible to take, with
   * nothing sent.
   */
  trySend(number: number, value: Uint8Array, key: string | undefined, hash: number): Sent {
    const stream = this.#streamOf(number)
    let sent: Sent = 'sent'
    if (stream.thereLeft > 0) {
      checkSize(value.length + (key === undefined ? 0 : Buffer.byteLength(key)))
      stream.thereLeft--
      sent = 'there'
    } else {
      this.#firstSentMs ??= nowMs()
      if (!stream.producer.sendEncoded(value, key === undefined ? undefined : { key })) {
        this.#full = stream.producer
        return 'full'
      }
    }
    stream.chain.chain = chainNext(stream.chain.chain, hash)
    stream.chain.records++
    return sent
  }

  ready(): Promise<void> {
    return this.#full!.ready()
  }

  async flush(): Promise<FlushReply> {
    await Promise.all([...this.#streams.values()].map(({ producer }) => producer.flush()))
    const firstSentMs = this.#firstSentMs
    const time = firstSentMs === undefined ? null : { firstSentMs, acknowledgedMs: nowMs() }
    const chains = [...this.#streams.values()].map(({ chain }) => chain)
    return { kind: 'flushed', chains, time }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#streams.values()].map(({ producer }) => producer.close()))
  }

  #streamOf(number: number): Stream {
    const stream = this.#streams.get(number)
    if (stream === undefined) throw new Error(`stream ${number} is another thread's`)
    return stream
  }
}

/** As the log refuses it: what it would not take is not there, whoever sent it. */
function checkSize(bytes: number): void {
  if (bytes <= RECORD_BYTES_MAX) return
  throw new WalrusError('RECORD_TOO_LARGE', `a record of ${bytes} bytes is over the limit of ${RECORD_BYTES_MAX}`)
}

export function isTooLarge(error: unknown): error is Error {
  return isWalrusError(error) && error.code === 'RECORD_TOO_LARGE'
}

/** The same clock in every thread of the process. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}
