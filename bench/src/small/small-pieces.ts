import { Bench } from 'tinybench'
import { formatPieces } from './format-pieces.js'
import { threadPieces } from './lane-pieces.js'

/** A sample is this many turns: one alone is shorter than the clock can tell. */
const TURNS = 1000

export interface SmallPieces {
  /** By piece. */
  nanoseconds: Record<string, number>
  pairs: { name: string; against: string | null }[]
}

/** Times all small pieces in this thread, for `taskMs` each after a warm-up of as long. */
export async function measureSmallPieces({ taskMs }: { taskMs: number }): Promise<SmallPieces> {
  const pieces = [...formatPieces(), ...threadPieces()]
  const bench = new Bench({ time: taskMs, warmupTime: taskMs, iterations: 5, warmupIterations: 2 })
  let sink = 0
  for (const { name, run } of pieces) {
    bench.add(name, () => {
      sink ^= run(TURNS)
    })
  }
  const nanoseconds: Record<string, number> = {}
  for (const task of await bench.run()) {
    if (task.result.state !== 'completed') throw new Error(`${task.name} did not complete: ${task.result.state}`)
    nanoseconds[task.name] = (task.result.latency.p50 * 1e6) / TURNS
  }
  // Says to the compiler that the results are wanted.
  if (Number.isNaN(sink)) throw new Error('a sum of numbers is a number')
  return { nanoseconds, pairs: pieces.map(({ name, against = null }) => ({ name, against })) }
}
