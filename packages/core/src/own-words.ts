/**
 * A copy of what another thread has sent, in which each string is this thread's own constant of that text. Plain objects are
 * looked into, anything else is taken as it is.
 *
 * V8's optimizing compiler of Node 22 compares a string that came from another thread with a constant, and now and then, as
 * it gives up code that it has compiled, says that equal ones differ (`codec !== 'utf8'`, and in the next line
 * `codec === 'utf8'`). Names that decide something are made constants where they arrive, and are compared after that.
 */
export function ownWords<Value>(value: Value): Value {
  if (typeof value === 'string') return ownWord(value) as Value
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, ownWords(member)])) as Value
}

/** The name of a property is always a constant. */
function ownWord(word: string): string {
  return Object.keys({ [word]: 0 })[0]
}
