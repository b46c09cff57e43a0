import { shown, WalrusError } from '@walrus-log/core'
import { durabilityLevel } from '../writer/durability.js'
import { encodeHeaders, encodeKey } from './codec.js'
import { NO_RECORD_OPTIONS, type RecordOptions } from './options.js'

/** A record's options, checked and encoded. */
export interface GivenOptions {
  key: Uint8Array | undefined
  headers: Uint8Array | undefined
  timestamp: number | undefined
  /** 0: the topic's own. */
  level: number
  sequence: number | undefined
}

const NOTHING_GIVEN: Readonly<GivenOptions> = Object.freeze({
  key: undefined,
  headers: undefined,
  timestamp: undefined,
  level: 0,
  sequence: undefined,
})

/** One object for all records: it is read at once, before any code of a caller runs again. */
const given: GivenOptions = { ...NOTHING_GIVEN }

/**
 * Reads each option once and checks it. The result is valid until the next call, from wherever that comes. Throws
 * `INVALID_ARGUMENT`; what a getter threw is its `cause`.
 */
export function takeOptions(options: RecordOptions, takesSequences: boolean): Readonly<GivenOptions> {
  if (options === NO_RECORD_OPTIONS) return NOTHING_GIVEN
  if (typeof options !== 'object' || options === null) throw noOptions(options)
  let { key, headers, timestamp, durability, sequence }: RecordOptions = NO_RECORD_OPTIONS
  try {
    ;({ key, headers, timestamp, durability, sequence } = options)
  } catch (cause) {
    throw noOptions(options, cause)
  }
  if (sequence !== undefined) checkSequence(sequence, takesSequences)
  if (timestamp !== undefined) checkTimestamp(timestamp)
  const level = recordLevel(durability)
  const keyBytes = encodeKey(key)
  const headersBytes = encodeHeaders(headers)
  given.key = keyBytes
  given.headers = headersBytes
  given.timestamp = timestamp
  given.level = level
  given.sequence = sequence
  return given
}

function noOptions(options: unknown, cause?: unknown): WalrusError {
  return new WalrusError(
    'INVALID_ARGUMENT',
    `a record's options are an object such as { key, headers }, ${shown(options)} was given; leave it out where there is nothing to say`,
    { field: 'options', cause },
  )
}

function recordLevel(durability: RecordOptions['durability']): number {
  if (durability === undefined) return 0
  if (durability === 'none' || durability === 'os' || durability === 'disk') return durabilityLevel(durability)
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a record's durability is 'none', 'os' or 'disk', ${shown(durability)} was given; take one of these`,
    { field: 'durability' },
  )
}

function checkTimestamp(timestamp: number): void {
  if (Number.isSafeInteger(timestamp) && timestamp >= 0) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a timestamp is a whole number of milliseconds since 1970, ${shown(timestamp)} was given; round it`,
    { field: 'timestamp' },
  )
}

function checkSequence(sequence: number, takesSequences: boolean): void {
  if (!takesSequences) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      'a record has a sequence with a producer that has a producerId and writes to one partition; give it both, or leave the sequence out',
      { field: 'sequence' },
    )
  }
  if (Number.isSafeInteger(sequence) && sequence >= 0) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a sequence is a whole number from 0 on, ${shown(sequence)} was given; count the producer's records`,
    { field: 'sequence' },
  )
}
