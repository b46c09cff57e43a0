import { isWalrusError } from '@walrus-log/core'

/** What the command's exit code says. */
export const EXIT_OK = 0
/** Rejected records, a failed verification, a log that does not answer. */
export const EXIT_FAILED = 1
/** Arguments that cannot be meant, files that are not there: nothing was done. */
export const EXIT_USAGE = 2
/** Ended by Ctrl-C, as shells count it: 128 and the signal's number. */
export const EXIT_INTERRUPTED = 130

const codesOfUsage: readonly string[] = ['INVALID_ARGUMENT', 'TOPIC_MISMATCH', 'UNKNOWN_TOPIC']

export function exitCodeOf(error: unknown): number {
  return isWalrusError(error) && codesOfUsage.includes(error.code) ? EXIT_USAGE : EXIT_FAILED
}
