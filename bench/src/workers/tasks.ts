import { measureSmallPieces } from '../small/small-pieces.js'
import { bareAppendLatencies, barePreads, bareRecordWrites, bareWrites, spin } from './bare.js'
import { consumeLatenciesAgainstBare } from './consume.js'
import { heapOfSends } from './heap.js'
import { latenciesAgainstBare } from './latency.js'
import { produceInLockstep, produceInThread } from './produce.js'
import { produceToMany } from './produce-many.js'
import { randomReads } from './random-read.js'
import { readInThread } from './read.js'
import { segmentFileWrites } from './segment-files.js'

/** What a bench thread can be asked to do. */
export const TASKS = {
  bareAppendLatencies,
  barePreads,
  bareRecordWrites,
  bareWrites,
  consumeLatenciesAgainstBare,
  heapOfSends,
  latenciesAgainstBare,
  measureSmallPieces,
  produceInLockstep,
  produceInThread,
  produceToMany,
  randomReads,
  segmentFileWrites,
  readInThread,
  spin,
}

export type Tasks = typeof TASKS
export type TaskName = keyof Tasks

export interface TaskRequest {
  name: TaskName
  input: unknown
}

export type TaskReply = { ok: true; value: unknown } | { ok: false; error: Error }
