import { BroadcastChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { Region } from '@walrus-log/core'
import { HEADER_TOKEN_AT, LANE_LIFE_AT, LANE_WRITTEN_AT, laneAt } from '../memory/layout.js'
import type { SharedMemory } from '../memory/shared-memory.js'

/**
 * Batches that the arena has no run for travel in memory of their own, in this order:
 *
 *   producer: posts the memory to the writer's channel, then publishes a reference to it in its lane
 *   writer: takes the reference, finds the memory among what was posted, writes it, releases the lane, posts `done`
 *   host: keeps what was posted until `done`, and gives it to the successor of a writer that died in between
 *
 * A post is in the queue of everybody who listens when it returns, so that who sees the reference finds the memory.
 */
export interface LargeBatch {
  lane: number
  /** Of the lane's slot. */
  life: number
  /** Which of the lane's batches it is. */
  number: number
  memory: SharedArrayBuffer
}

type Post = LargeBatch | (Omit<LargeBatch, 'memory'> & { done: true })

function channelOf(memory: SharedMemory, writer: number): BroadcastChannel {
  const token = memory.words.subarray(HEADER_TOKEN_AT, HEADER_TOKEN_AT + 2).join('.')
  return new BroadcastChannel(`walrus-large-batches-${token}-${writer}`)
}

/** Posts a batch; the caller then publishes its reference. The memory is the receivers' from now on. */
export function postLargeBatch(memory: SharedMemory, writer: number, batch: LargeBatch): void {
  // Opened for this one post: an end that does not listen would keep what others post.
  const channel = channelOf(memory, writer)
  try {
    channel.postMessage(batch)
  } finally {
    channel.close()
  }
}

/** One writer's large batches, as its thread or the host holds them. */
export class LargeBatches {
  readonly #memory: SharedMemory
  readonly #channel: BroadcastChannel
  #held: LargeBatch[]

  constructor(memory: SharedMemory, writer: number, held: readonly LargeBatch[] = []) {
    this.#memory = memory
    this.#channel = channelOf(memory, writer)
    this.#held = [...held]
  }

  /** For the host, whose event loop brings the posts, and is not kept alive by them. */
  listen(): void {
    this.#channel.onmessage = (event) => {
      this.#receive((event as { data: Post }).data)
      this.#prune()
    }
    this.#channel.unref()
  }

  /** For the writer: the memory of a batch that a reference in the lane announces. */
  find(lane: number, life: number, number: number): Region | undefined {
    this.#receiveAll()
    const batch = this.#held.find((held) => held.lane === lane && held.life === life && held.number === number)
    return batch && new Region(batch.memory)
  }

  /** For the writer: the batch has left its lane. */
  done(lane: number, life: number, number: number): void {
    const post: Post = { lane, life, number, done: true }
    this.#receive(post)
    this.#channel.postMessage(post)
  }

  /** What a successor needs. */
  get held(): readonly LargeBatch[] {
    this.#receiveAll()
    this.#prune()
    return this.#held
  }

  close(): void {
    this.#channel.close()
    this.#held = []
  }

  #receiveAll(): void {
    // It takes either kind of port; the types of the oldest Node know of one only.
    const port = this.#channel as unknown as MessagePort
    for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
      this.#receive(got.message as Post)
    }
  }

  #receive(post: Post): void {
    if ('memory' in post) this.#held.push(post)
    else {
      const { lane, life, number } = post
      this.#held = this.#held.filter((held) => held.lane !== lane || held.life !== life || held.number !== number)
    }
  }

  /** Forgets what its writer has written and did not come to say so, or its producer did not come to announce. */
  #prune(): void {
    const { words } = this.#memory
    this.#held = this.#held.filter(({ lane, life, number }) => {
      const at = laneAt(lane)
      return words[at + LANE_LIFE_AT] === life && ((Atomics.load(words, at + LANE_WRITTEN_AT) - number) | 0) <= 0
    })
  }
}
