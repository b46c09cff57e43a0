import type { Producer } from '@walrus-log/actors'
import { isWalrusError } from '@walrus-log/core'
import { type Chain, chainNext } from '../checksum.js'
import type { FlushReply } from './messages.js'

/** Sends records and keeps, for each partition, a chain over what it sent. */
export class RecordSender {
  readonly #producer: Producer
  readonly #chains: Chain[] = []
  #firstSentMs: number | undefined

  constructor(producer: Producer) {
    this.#producer = producer
  }

  /**
   * False if there was no room: `await ready()`, and try again. Throws what makes this record impossible to take, with
   * nothing sent.
   */
  trySend(value: Uint8Array, key: string | undefined, hash: number): boolean {
    this.#firstSentMs ??= nowMs()
    const isSent = this.#producer.sendEncoded(value, key === undefined ? undefined : { key })
    if (!isSent) return false
    const partition = this.#producer.lastPartition
    let chain = this.#chains[partition]
    if (!chain) {
      chain = { partition, producerId: this.#producer.id, records: 0, chain: 0 }
      this.#chains[partition] = chain
    }
    chain.chain = chainNext(chain.chain, hash)
    chain.records++
    return true
  }

  ready(): Promise<void> {
    return this.#producer.ready()
  }

  async flush(): Promise<FlushReply> {
    await this.#producer.flush()
    const firstSentMs = this.#firstSentMs
    const time = firstSentMs === undefined ? null : { firstSentMs, acknowledgedMs: nowMs() }
    return { kind: 'flushed', chains: this.#chains.filter(Boolean), time }
  }

  close(): Promise<void> {
    return this.#producer.close()
  }
}

export function isTooLarge(error: unknown): error is Error {
  return isWalrusError(error) && error.code === 'RECORD_TOO_LARGE'
}

/** The same clock in every thread of the process. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}
