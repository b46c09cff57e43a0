import type { WalrusHandle } from '@walrus-log/actors'
import { type Chain, type ContentCheck, emptyContent } from '../checksum.js'
import type { ParserInput } from '../parse/parsed-record.js'
import type { ChunkReject } from '../parse/rejects.js'

// The protocol between the feeding thread and the producers' threads.
//
// Records go to the topic in streams, each of which is one thread's, and leads to one partition. A thread that has started
// says how far its streams came in runs before, and `begin` says how many of their records are there already.
//
// Where order does not matter: `parse` with a stream parses a chunk and sends its records into that.
//
// Where it does (records of one key stay in the source's order; `strict` writes nothing behind the first reject):
// 1. `parse` with `packing` parses a chunk and answers with its records, a pack for each stream.
// 2. In the chunks' order, `send` gives each stream's thread its pack.

export interface StreamPlace {
  stream: number
  partition: number
  /** Undefined: the stream is not gone on with by another run. */
  producerId: string | undefined
}

export interface ProducerWorkerData {
  handle: WalrusHandle
  topic: string
  /** The thread's own. */
  streams: StreamPlace[]
}

/** Records of one stream, in order. */
export interface Pack {
  stream: number
  /** The values, one behind the other. */
  values: Uint8Array<ArrayBuffer>
  ends: Uint32Array<ArrayBuffer>
  /** Lines of the chunk that the records begin in, counted from 0. */
  lines: Uint32Array<ArrayBuffer>
  keys: string[] | undefined
}

export type ProducerRequest =
  | {
      kind: 'parse'
      input: ParserInput
      /** Where the chunk's records go; with `packing`, those that have no key. */
      stream: number
      packing?: { partitions: number; isStrict: boolean }
    }
  | { kind: 'begin'; there: { stream: number; records: number }[] }
  | { kind: 'send'; pack: Pack }
  | { kind: 'flush' }

/** What became of a chunk, or of a pack. */
export interface ChunkReply {
  kind: 'chunk'
  /** The chunk's buffer, to be used again. */
  bytes: Uint8Array<ArrayBuffer> | undefined
  /** In what was read of it. */
  newlines: number
  /** What a strict run left, from the first reject on. */
  unreadBytes: number
  /** The good records, by the bytes of the source. */
  content: ContentCheck
  /** Those of them that had been there already. */
  there: ContentCheck
  rejectsCount: number
  rejects: ChunkReject[]
  packs: Pack[]
}

/** Everything that was sent is acknowledged. */
export interface FlushReply {
  kind: 'flushed'
  chains: Chain[]
  /** When the first record was sent and when the last one was acknowledged; null if there was none. */
  time: { firstSentMs: number; acknowledgedMs: number } | null
}

export interface StartedReply {
  kind: 'started'
  /** The streams' next sequences, where they have any. */
  nexts: { stream: number; next: number }[]
}

export type ProducerReply = ChunkReply | FlushReply | StartedReply

export function emptyChunkReply(): ChunkReply {
  return {
    kind: 'chunk',
    bytes: undefined,
    newlines: 0,
    unreadBytes: 0,
    content: emptyContent(),
    there: emptyContent(),
    rejectsCount: 0,
    rejects: [],
    packs: [],
  }
}
