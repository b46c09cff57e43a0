import type { Case } from './case.js'
import { disk727, os100, os727 } from './ingest.js'
import { latency } from './latency.js'
import { read } from './read.js'

/** All cases, in the order in which they run. */
export const CASES: readonly Case[] = [os727, os100, disk727, latency, read]
