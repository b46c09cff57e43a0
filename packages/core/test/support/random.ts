/** A number in [0, 1), from whoever decides what happens by chance. */
export type Random = () => number

/** A sequence that depends on the seed alone (mulberry32). */
export function randomOf(seed: number): Random {
  let state = Math.imul(seed ^ 0x9e37_79b1, 0x85eb_ca6b) | 0
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A whole number in [0, below). */
export const below = (random: Random, limit: number): number => Math.floor(random() * limit)
