import type { WalrusHandle } from '@walrus-log/actors'
import type { Chain, ContentCheck } from '../checksum.js'

// The protocol between the thread that runs an ingest and the threads that read it back.

export interface VerifierWorkerData {
  handle: WalrusHandle
  topic: string
  /** Records read so far, by all verifiers: one BigUint64 that they add to. */
  progress: SharedArrayBuffer
}

/** Reads the offsets `[from, next)` of a partition. */
export interface VerifyRequest {
  partition: number
  from: number
  next: number
  /** Records of others, in the same partition at the same time, are not looked at. */
  producers: VerifiedProducer[]
}

/** Whose batches are looked at: those whose first sequence is in one of these ranges. */
export interface VerifiedProducer {
  producerId: number
  /** Pairs of the first and one past the last. */
  sequences: [number, number][]
}

export interface VerifyReply {
  content: ContentCheck
  chains: Chain[]
}
