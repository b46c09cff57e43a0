import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { systemErrorCode, WalrusError } from '@walrus-log/core'

/**
 * What became of a batch, as the number in its acknowledgement slot: an offset, or a negative number that packs why it
 * was refused. Of a batch that a named producer had sent before it may be a number and a half: it is there, and its
 * records have no offsets in a row, or nobody remembers them. Errors cross threads this way because a slot is written and read without a message.
 */
export type RefusalKind = 'write' | 'sync' | 'open' | 'writer' | 'closed' | 'deleted' | 'fenced' | 'sequence'

const KINDS: readonly RefusalKind[] = ['write', 'sync', 'open', 'writer', 'closed', 'deleted', 'fenced', 'sequence']
const KIND_BITS = 8
const ATTEMPTS = { write: 'a write', sync: 'a sync', open: 'the start of a new segment' }

export function encodeRefusal(kind: RefusalKind, error?: unknown): number {
  const name = systemErrorCode(error)
  const errno = (constants.errno as Record<string, number>)[name] ?? 0
  return -(errno * 2 ** KIND_BITS + KINDS.indexOf(kind) + 1)
}

export const isFenced = (outcome: number): boolean => outcome === encodeRefusal('fenced')
export const isOutOfSequence = (outcome: number): boolean => outcome === encodeRefusal('sequence')

function fenced(where: string): WalrusError {
  return new WalrusError(
    'PRODUCER_FENCED',
    `the producer's name was opened anew, and ${where} takes nothing from this one any more; close it, and leave the work to the newer one`,
  )
}

/** The error that a refused batch's records reject with. */
export function decodeRefusal(outcome: number, where: string): WalrusError {
  const kind = KINDS[(-outcome % 2 ** KIND_BITS) - 1]
  const errno = Math.floor(-outcome / 2 ** KIND_BITS)
  const name = errno === 0 ? undefined : getSystemErrorName(-errno)
  const cause =
    name === undefined ? undefined : Object.assign(new Error(`${name} from the file system`), { code: name, errno })
  if (kind === 'writer') {
    return new WalrusError(
      'WRITER_FAILED',
      `the writer of ${where} failed too often and is not started again; close the log, look at the cause in its events, and open it anew`,
    )
  }
  if (kind === 'closed') return new WalrusError('CLOSED', `the log was closed before ${where} could take the record`)
  if (kind === 'fenced') return fenced(where)
  if (kind === 'sequence') {
    return new WalrusError(
      'OUT_OF_SEQUENCE',
      `the sequence does not go on where the last one accepted in ${where} ended; what is between them was refused, or never sent: send that first`,
    )
  }
  if (kind === 'deleted') return new WalrusError('UNKNOWN_TOPIC', `the topic of ${where} was deleted; create it again`)
  if (name === 'ENOSPC' || name === 'EDQUOT') {
    return new WalrusError('DISK_FULL', `the disk has no room for ${where}; free some, then send the record again`, {
      cause,
    })
  }
  return new WalrusError(
    'SEGMENT_POISONED',
    `${ATTEMPTS[kind]} of ${where} failed (${name ?? 'unknown error'}); its segment ends at the last acknowledged record, and what was not acknowledged is not in the log: send it again`,
    { cause },
  )
}
