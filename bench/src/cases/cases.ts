import type { Case } from './case.js'
import { compressed } from './compressed.js'
import { consume } from './consume.js'
import { diskBytes } from './disk-bytes.js'
import { eventLoop } from './event-loop.js'
import { heap } from './heap.js'
import { disk727, os100, os727 } from './ingest.js'
import { latency } from './latency.js'
import { open } from './open.js'
import { randomRead } from './random-read.js'
import { read } from './read.js'
import { scan } from './scan.js'
import { segmentFiles } from './segment-files.js'
import { small } from './small.js'
import { topics } from './topics.js'

/** All cases, in the order in which they run. */
export const CASES: readonly Case[] = [
  os727,
  os100,
  disk727,
  latency,
  consume,
  read,
  compressed,
  randomRead,
  scan,
  open,
  eventLoop,
  diskBytes,
  heap,
  topics,
  segmentFiles,
  small,
]
