import type { Endpoint } from 'comlink'
import type { MessageReceiver, MessageSender } from './message-lane.js'

type Listener = (event: MessageEvent) => void
/** What comlink passes; the DOM's own type for it is not among Node's. */
type ListenerLike = Listener | { handleEvent: Listener }

/**
 * A comlink endpoint over a pair of message lanes: what comlink posts is packed into the one, and what arrives in the
 * other is handed to comlink. Whoever owns it polls it when its doorbell rings. Nothing can be transferred over it.
 */
export class LaneEndpoint implements Endpoint {
  readonly #sender: MessageSender
  readonly #receiver: MessageReceiver
  readonly #listeners = new Map<ListenerLike, Listener>()
  #isClosed = false

  constructor(sender: MessageSender, receiver: MessageReceiver) {
    this.#sender = sender
    this.#receiver = receiver
  }

  /** Sends and receives nothing any more: the lanes' memory is about to be somebody else's. */
  close(): void {
    this.#isClosed = true
  }

  postMessage(message: unknown): void {
    if (!this.#isClosed) this.#sender.send(message)
  }

  addEventListener(_type: string, listener: ListenerLike): void {
    const call: Listener = typeof listener === 'function' ? listener : (event) => listener.handleEvent(event)
    this.#listeners.set(listener, call)
  }

  removeEventListener(_type: string, listener: ListenerLike): void {
    this.#listeners.delete(listener)
  }

  /** Sends what waits and hands over what has arrived. */
  poll(): void {
    if (this.#isClosed) return
    this.#sender.flush()
    for (const data of this.#receiver.receive()) {
      for (const listener of [...this.#listeners.values()]) listener({ data } as MessageEvent)
    }
  }
}
