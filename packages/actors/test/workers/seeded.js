/**
 * A small generator of numbers (mulberry32), so that two threads that know the seed know all that follows.
 * @param {number} seed
 * @returns {(below: number) => number} whole numbers from 0 to `below` - 1
 */
export function seededNumbers(seed) {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below) >>> 0
  }
}
