/**
 * Fails in the way that it is told.
 *
 * @param {Iterable<Iterable<unknown>>} batches
 * @param {{ args: string }} info
 */
export default function fail(batches, { args }) {
  for (const _batch of batches) {
    if (args === 'throw') throw Object.assign(new RangeError('one too many'), { code: 'TOO_MANY', found: 3 })
    if (args === 'exit') process.exit(7)
    if (args === 'uncloneable') return () => {}
    while (args === 'hang');
  }
  return undefined
}
