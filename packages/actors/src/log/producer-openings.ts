import type { OpenedProducer, OpenProducerRequest } from './log-client.js'

interface Opening {
  request: OpenProducerRequest
  resolve: (opened: OpenedProducer) => void
  reject: (error: unknown) => void
}

/** Opens names of one topic, all with one write of its file. Each has an answer, or an error, of its own. */
type OpenAll = (topic: string, requests: readonly OpenProducerRequest[]) => Promise<(OpenedProducer | Error)[]>

/**
 * Names of producers that wait to be opened. All that are asked for while an earlier change of their topic is under way
 * are opened together: an ingest that opens a stream for each of hundreds of partitions waits for a few writes.
 */
export class ProducerOpenings {
  readonly #change: (topic: string, action: () => Promise<void>) => Promise<void>
  readonly #openAll: OpenAll
  readonly #waiting = new Map<string, Opening[]>()

  constructor(change: (topic: string, action: () => Promise<void>) => Promise<void>, openAll: OpenAll) {
    this.#change = change
    this.#openAll = openAll
  }

  open(request: OpenProducerRequest): Promise<OpenedProducer> {
    return new Promise((resolve, reject) => {
      const opening = { request, resolve, reject }
      const waiting = this.#waiting.get(request.topic)
      if (waiting !== undefined) {
        waiting.push(opening)
        return
      }
      this.#waiting.set(request.topic, [opening])
      this.#change(request.topic, () => this.#openWaiting(request.topic)).catch((error) => {
        for (const refused of this.#take(request.topic)) refused.reject(error)
      })
    })
  }

  async #openWaiting(topic: string): Promise<void> {
    const openings = this.#take(topic)
    try {
      const answers = await this.#openAll(
        topic,
        openings.map(({ request }) => request),
      )
      answers.forEach((answer, index) => {
        if (answer instanceof Error) openings[index].reject(answer)
        else openings[index].resolve(answer)
      })
    } catch (error) {
      for (const { reject } of openings) reject(error)
    }
  }

  #take(topic: string): Opening[] {
    const openings = this.#waiting.get(topic) ?? []
    this.#waiting.delete(topic)
    return openings
  }
}
