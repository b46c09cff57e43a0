import { WalrusError } from '../errors.js'
import { NAME_LENGTH_MAX } from '../limits.js'
import { shown } from '../shown.js'

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/

export function isName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name) && name.length <= NAME_LENGTH_MAX && !name.endsWith('.')
}

/**
 * Refuses a topic's, namespace's or group's name that is not safe as the name of a directory; names are never cleaned, so that
 * two of them cannot become one.
 */
export function checkName(kind: 'topic' | 'namespace' | 'group', name: unknown): asserts name is string {
  if (isName(name)) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `${kind} name ${shown(name)} cannot be used: take 1 to ${NAME_LENGTH_MAX} of A-Z a-z 0-9 . _ -, beginning with a letter, a digit or _`,
    { field: kind },
  )
}
