/** Stable codes; programs branch on these, people read the message. */
export type WalrusErrorCode =
  | 'LOCKED'
  | 'CLOSED'
  | 'READ_ONLY'
  | 'INVALID_ARGUMENT'
  | 'TOPIC_MISMATCH'
  | 'UNKNOWN_TOPIC'
  | 'RECORD_TOO_LARGE'
  | 'MAILBOX_FULL'
  | 'OFFSET_OUT_OF_RANGE'
  | 'SEGMENT_CORRUPT'
  | 'SEGMENT_POISONED'
  | 'DISK_FULL'
  | 'PRODUCER_FENCED'
  | 'OUT_OF_SEQUENCE'
  | 'CONSUMER_FENCED'
  | 'WRITER_FAILED'
  | 'FORMAT_VERSION'
  | 'ASK_TIMEOUT'
  | 'ACTOR_STOPPED'
  | 'ACTOR_FAILED'
  | 'UNKNOWN_MESSAGE'
  | 'SPAWN_FAILED'
  | 'SCAN_FAILED'

/** Facts of an error that a program may need; which are set depends on the code. */
export interface WalrusErrorDetails {
  /** Process id of the holder, with `LOCKED`. */
  pid?: number
  /** Name of the option or argument, with `INVALID_ARGUMENT`. */
  field?: string
  /** First offset that exists, with `OFFSET_OUT_OF_RANGE`. */
  first?: number
  /** One past the last offset that exists, with `OFFSET_OUT_OF_RANGE`. */
  next?: number
  file?: string
  /** Byte position in `file`. */
  position?: number
  /** First offset that is damaged or missing, with `SEGMENT_CORRUPT`. */
  offset?: number
  /** The sequence that the producer's next record has, with `OUT_OF_SEQUENCE`. */
  expected?: number
  /** How many records of a `flush` or `close` were not acknowledged. */
  unacknowledged?: number
}

export interface WalrusErrorOptions extends WalrusErrorDetails {
  cause?: unknown
}

/** The one error class of the project. The message begins with the code and ends with what to do. */
export class WalrusError extends Error implements WalrusErrorDetails {
  readonly code: WalrusErrorCode
  declare readonly pid?: number
  declare readonly field?: string
  declare readonly first?: number
  declare readonly next?: number
  declare readonly file?: string
  declare readonly position?: number
  declare readonly offset?: number
  declare readonly expected?: number
  declare readonly unacknowledged?: number

  constructor(code: WalrusErrorCode, message: string, options: WalrusErrorOptions = {}) {
    const { cause, ...details } = options
    super(`${code}: ${message}`, cause === undefined ? undefined : { cause })
    this.name = 'WalrusError'
    this.code = code
    for (const [name, value] of Object.entries(details)) {
      if (value !== undefined) Object.defineProperty(this, name, { value, enumerable: true })
    }
  }
}

export function isWalrusError(error: unknown): error is WalrusError {
  return error instanceof WalrusError
}

/** Thrown by an `assert` of this project: a bug of ours, never the user's doing. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${invariant}`)
}

/** What a failed call to the system said, in the words of its own error code, such as `ENOSPC`. */
export function systemErrorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : 'UNKNOWN'
}

/** Whether a call failed because the disk, or the user's share of it, has no room. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(systemErrorCode(error))
}

/**
 * What a call that met the system's error rejects with: `DISK_FULL`, or `SEGMENT_CORRUPT` where a directory lies in a
 * file's place. Any other error as it is.
 */
export function withCode(error: unknown): unknown {
  if (isDiskFull(error)) {
    return new WalrusError(
      'DISK_FULL',
      'the disk has no room for what was asked for, and nothing of it was done; trim a topic, which needs none, or free some, then call again',
      { cause: error },
    )
  }
  if (systemErrorCode(error) !== 'EISDIR') return error
  const { path } = error as { path?: unknown }
  const file = typeof path === 'string' ? path : undefined
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `${file ?? 'a file of the log'} is a directory; move it away, and restore the file from a copy`,
    { cause: error, file },
  )
}
