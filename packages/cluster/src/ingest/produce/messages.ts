import type { WalrusHandle } from '@walrus-log/actors'
import { type Chain, type ContentCheck, emptyContent } from '../checksum.js'
import type { ParserInput } from '../parse/parsed-record.js'
import type { ChunkReject } from '../parse/rejects.js'

// The protocol between the feeding thread and the producers' threads.
//
// Where order does not matter: `parse` with no `ownersCount` parses a chunk and sends its records.
//
// Where it does (records of one key stay in the source's order; `strict` writes nothing behind the first reject):
// 1. `parse` with `ownersCount` parses a chunk and answers with its records, a pack for each owner: the producer that
//    all records of a key go through.
// 2. In the chunks' order, `send` gives each owner its pack.

export interface ProducerWorkerData {
  handle: WalrusHandle
  topic: string
}

/** Records that one producer is to send, in order. */
export interface Pack {
  owner: number
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
      /** Records without a key go to this owner. */
      packing?: { ownersCount: number; ownerWithoutKey: number; isStrict: boolean }
    }
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
}

export type ProducerReply = ChunkReply | FlushReply | StartedReply

export function emptyChunkReply(): ChunkReply {
  return {
    kind: 'chunk',
    bytes: undefined,
    newlines: 0,
    unreadBytes: 0,
    content: emptyContent(),
    rejectsCount: 0,
    rejects: [],
    packs: [],
  }
}
