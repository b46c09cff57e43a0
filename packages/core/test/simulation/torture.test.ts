import { writeSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { countsLines, noCounts, replayOf, tortureOnce } from './torture.js'

const SEEDS = Number(process.env['WALRUS_TORTURE_SEEDS'] ?? 400)
const FROM = Number(process.env['WALRUS_TORTURE_FROM'] ?? Date.now() % 1_000_000_000)
const isAsked = process.env['WALRUS_TORTURE_SEEDS'] !== undefined

describe('a log on a disk that loses power, fails, fills up and rots', () => {
  it('keeps every promise, in every recovery, whatever the seed', { timeout: 0 }, () => {
    const counts = noCounts()
    const failed: string[] = []
    const start = performance.now()
    for (let seed = FROM; seed < FROM + SEEDS; seed++) {
      try {
        tortureOnce(seed, counts, isAsked && SEEDS === 1 ? (line) => writeSync(2, `${line}\n`) : undefined)
      } catch (error) {
        failed.push(`seed ${seed} (${replayOf(seed)}): ${(isAsked && SEEDS === 1 && (error as Error).stack) || error}`)
        if (failed.length === 10) break
      }
    }
    if (isAsked) {
      for (const line of countsLines(counts, (performance.now() - start) / 1000)) writeSync(1, `${line}\n`)
    }
    expect(failed).toEqual([])
    if (SEEDS >= 300) expect([...counts.faults.keys()]).toContain('page dropped')
  })
})
