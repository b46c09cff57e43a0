import { MessageChannel, type MessagePort, postMessageToThread } from 'node:worker_threads'
import { KeepAlive } from '../lane/doorbell.js'
import { closedError, type LogClient } from '../log/log-client.js'
import { CLIENT_LIFE_AT, clientAt } from '../memory/layout.js'
import { CursorWriter } from './cursor-writer.js'
import { GroupService } from './group-service.js'
import type { HostPlace, LinkOffer, Notice } from './messages.js'

/** A consumer as its thread sees it, which has to end it. */
export interface OpenConsumer {
  /** The host changed what the consumer has. */
  notice(): void
  /** The log is closed in this thread: commits what is handled, and takes no part any more. */
  end(): Promise<void>
}

/** One thread's consumers: their way into the cursor log, and the link over which the host tells them of changes. */
export class GroupClient {
  /** Consumers of this thread that are not closed. */
  readonly consumers = new Set<OpenConsumer>()
  readonly place: HostPlace
  readonly life: number
  readonly #client: LogClient
  readonly #members = new Map<number, OpenConsumer>()
  /** Consumers that end while nobody waits for it: who joins in this thread comes after them. */
  readonly #ending = new Set<Promise<void>>()
  #port: MessagePort | undefined
  #linking: Promise<void> | undefined
  #writer: Promise<CursorWriter> | undefined
  #isClosed = false

  constructor(client: LogClient, place: HostPlace) {
    this.#client = client
    this.place = place
    this.life = client.memory.words[clientAt(client.client) + CLIENT_LIFE_AT]
  }

  /** Resolves when the host can reach this thread, and knows of its end. */
  link(): Promise<void> {
    this.#linking ??= this.#link()
    return this.#linking
  }

  /** `end` goes on while nobody waits for it. */
  track(end: Promise<void>): void {
    this.#ending.add(end)
    void end.finally(() => this.#ending.delete(end))
  }

  async ended(): Promise<void> {
    await Promise.all(this.#ending)
  }

  /** Notices of `member` go to `consumer`. */
  listen(member: number, consumer: OpenConsumer): void {
    this.#members.set(member, consumer)
  }

  unlisten(member: number): void {
    this.#members.delete(member)
  }

  /** This thread's way into the cursor log. */
  writer(): Promise<CursorWriter> {
    this.#writer ??= this.#client.control.cursorLog().then((place) => new CursorWriter(this.#client, place))
    this.#writer.catch(() => {
      this.#writer = undefined
    })
    return this.#writer
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.ended()
    await Promise.allSettled([...this.consumers].map((consumer) => consumer.end()))
    this.#isClosed = true
    await this.#linking?.catch(() => {})
    this.#port?.close()
  }

  async #link(): Promise<void> {
    const { client } = this.#client
    // Nobody changes what a consumer of a log has that is only read.
    if (this.#client.isReadOnly) return
    const local = GroupService.local(this.place)
    const receive = (member: Notice): void => this.#members.get(member)?.notice()
    // In the host's own thread notices are calls, made later so that nobody is called in the middle of something.
    if (local !== undefined) return local.addLink(client, this.life, (member) => queueMicrotask(() => receive(member)))
    const { port1, port2 } = new MessageChannel()
    const offer: LinkOffer & { port: MessagePort } = {
      kind: 'walrus-group-link',
      log: this.place.log,
      client,
      life: this.life,
      port: port2,
    }
    const keepAlive = new KeepAlive()
    keepAlive.hold()
    try {
      await postMessageToThread(this.place.thread, offer, [port2])
    } catch (cause) {
      throw Object.assign(closedError(), { cause })
    } finally {
      keepAlive.close()
    }
    port1.on('message', receive)
    port1.unref()
    this.#port = port1
  }
}
