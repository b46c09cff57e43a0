import { WalrusError } from '@walrus-log/core'
import { type LogClient, type OpenedProducer, randomProducerId, type TopicPlace } from './log-client.js'

/** Who a producer is in its batches, and how far the name had come before. */
export interface ProducerIdentity {
  id: number
  epoch: number
  /** By partition: the last sequence that was accepted, -1 for none. */
  lastSequences: readonly number[]
}

/** A producer without a name is nobody's successor. */
export function anonymousIdentity(): ProducerIdentity {
  return { id: randomProducerId(), epoch: 0, lastSequences: [] }
}

/**
 * A name on its way to being opened: the host raises its epoch, and each partition's writer says how far it came. Owned
 * by one producer.
 */
export class ProducerName {
  /** Undefined while the opening is under way, or has failed. */
  identity: ProducerIdentity | undefined
  /** Why nothing can be sent under the name: it could not be opened, or somebody has opened it since. */
  error: unknown
  /** Settles when the opening is over; never rejects. */
  readonly opening: Promise<void>
  readonly #name: string

  constructor(client: LogClient, topic: TopicPlace, name: string, partition: number | undefined) {
    this.#name = name
    const request = { topic: topic.config.name, slot: topic.partitions[0].slot, name, partition: partition ?? null }
    this.opening = client.control.openProducer(request).then(
      ({ id, epoch, lastSequences }: OpenedProducer) => {
        this.identity = { id, epoch, lastSequences }
      },
      (error) => {
        this.error = error
      },
    )
  }

  get isOpening(): boolean {
    return this.identity === undefined && this.error === undefined
  }

  /** Throws why the name cannot be used, or that it is not open yet. */
  require(): ProducerIdentity {
    if (this.error !== undefined) throw this.error
    if (this.identity !== undefined) return this.identity
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `producer ${JSON.stringify(this.#name)} is still being opened; await producer.ready() first`,
      { field: 'producerId' },
    )
  }
}
