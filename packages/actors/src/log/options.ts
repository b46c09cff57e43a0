import { availableParallelism } from 'node:os'
import {
  BATCH_BYTES_MAX,
  type Durability,
  PARTITIONS_MAX,
  RECORD_BYTES_MAX,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  SEGMENT_MS_MAX,
  type TopicRequest,
  WalrusError,
} from '@walrus-log/core'
import { z } from 'zod'
import type { WriterEvent } from '../actor/supervised-writer.js'
import type { ConsumeFrom, CursorEvent } from '../group/messages.js'
import { ARENA_CHUNK_BYTES, ARENA_CHUNKS_MAX, WRITERS_MAX } from '../memory/layout.js'
import { optionWords } from './option-words.js'

/** Room for a few thousand lanes. Address space: what no lane was ever in is not touched. */
export const LANE_BYTES_MAX_DEFAULT = 512 * 1024 * 1024
/** Below the 4,096 descriptors that a process may have on systems that allow few. */
const OPEN_FILES_MAX_DEFAULT = 2048
/** A writer and its sync thread have one each. */
const OPEN_FILES_MAX_MIN = 2
const LANE_BYTES_MAX_MIN = 32 * ARENA_CHUNK_BYTES

const durability = z.union([
  z.enum(['none', 'os', 'disk']),
  z.strictObject({ everyMs: z.number().int().min(1).max(3_600_000) }),
])

/** What the opener of a log may want to know. */
export type WalrusEvent = WriterEvent | CursorEvent

const openOptions = z.strictObject({
  /** What an acknowledgement promises, for topics that do not say. */
  durability: durability.default('disk'),
  /** A log of its own below the same directory. */
  namespace: z.string().default(() => process.env['WALRUS_INSTANCE_KEY'] || 'default'),
  /** Read and follow beside the process that writes, or without one: no lock is taken, nothing is changed. */
  readOnly: z.boolean().default(false),
  /** What to do about damage: cut a torn tail only, cut at the first damage, or keep all that is whole and show gaps. */
  recovery: z.enum(['strict', 'tail', 'skip']).default('strict'),
  /** Segment-writer threads; above it several partitions share one. */
  writerThreadsMax: z.number().int().min(1).max(WRITERS_MAX).default(Math.min(availableParallelism(), WRITERS_MAX)),
  /** Memory for all lanes of the process, in bytes; touched as it is used. */
  laneBytesMax: z
    .number()
    .int()
    .min(LANE_BYTES_MAX_MIN)
    .max(ARENA_CHUNKS_MAX * ARENA_CHUNK_BYTES)
    .default(LANE_BYTES_MAX_DEFAULT),
  /** Segment files that all writers together hold open; idle ones are closed and opened again unseen. */
  openFilesMax: z.number().int().min(OPEN_FILES_MAX_MIN).default(OPEN_FILES_MAX_DEFAULT),
  /** Module whose default export makes the `FileSystem` for the log's threads; the host's own by default. */
  fileSystem: z.union([z.string().min(1), z.instanceof(URL).transform((url) => url.href)]).optional(),
  /** Is told of writers that end and are started again, of cursors that were moved, and of what could not be forgotten. */
  onEvent: z
    .custom<(event: WalrusEvent) => void>((value) => typeof value === 'function', 'a function was expected')
    .optional(),
})

export type OpenOptions = z.input<typeof openOptions>
export type FilledOpenOptions = z.output<typeof openOptions>

/** Not what only has its prototype. */
const signal = z.custom<AbortSignal>((value) => {
  try {
    return typeof Reflect.get(AbortSignal.prototype, 'aborted', value) === 'boolean'
  } catch {
    return false
  }
}, 'an AbortSignal was expected')

const limit = z.number().int().min(0)

const topicOptions = z.strictObject({
  partitions: z.number().int().min(1).max(PARTITIONS_MAX).optional(),
  codec: z.enum(['bytes', 'utf8', 'json', 'msgpack']).optional(),
  durability: durability.optional(),
  segmentBytes: z.number().int().min(SEGMENT_BYTES_MIN).max(SEGMENT_BYTES_MAX).optional(),
  segmentEntries: z.number().int().min(1).optional(),
  /** What is kept at least, in whole segments; `{}` lifts all limits of before. */
  retention: z.strictObject({ ms: limit.optional(), bytes: limit.optional(), records: limit.optional() }).optional(),
  /** A segment that has records is ended at this age; `null`: by size only. By default `retention.ms`. */
  segmentMs: z.number().int().min(1).max(SEGMENT_MS_MAX).nullable().optional(),
  /** How sealed segments are kept. They are compressed in the background, all but the newest; other ones stay as they are. */
  compression: z.enum(['none', 'lz4', 'zstd']).optional(),
  /** `'compact'`: of each key, older records go in the background; retention, where it has limits, holds as well. */
  cleanup: z.enum(['delete', 'compact']).optional(),
  /** With `'compact'`, a tombstone is kept at least this long after its segment was sealed; a day by default. */
  deleteGraceMs: z.number().int().min(0).optional(),
})

export type TopicOptions = z.input<typeof topicOptions>

const producerOptions = z.strictObject({
  /** All records go to this partition. */
  partition: z.number().int().min(0).optional(),
  /** A name: who opens it again fences the one before, and is told how far that came. */
  producerId: z.string().optional(),
})

export type ProducerOptions = z.input<typeof producerOptions>

const position = z.union([z.literal('start'), z.literal('end'), z.number().int().min(0), z.date()])

const readOptions = z.strictObject({
  from: position.default('start'),
  /** Go on with what is appended later. */
  follow: z.boolean().default(false),
  signal: signal.optional(),
  /** One partition; all of them where it is left out. */
  partition: z.number().int().min(0).optional(),
  /** Read and check on another core, ahead of the reader. Always so on the main thread. */
  readAhead: z.boolean().optional(),
})

export type ReadOptions = z.input<typeof readOptions>
export type FilledReadOptions = z.output<typeof readOptions>

const trimOptions = z.strictObject({
  /** Records before this offset, of before this time, or all. */
  before: z.union([z.literal('end'), z.number().int().min(0), z.date()]),
  /** One partition; all of them where it is left out. */
  partition: z.number().int().min(0).optional(),
})

export type TrimOptions = z.input<typeof trimOptions>

const consumerOptions = z.strictObject({
  /** When a cursor is made durable: before the next record is handed out, every so many, or by `commit`. */
  checkpoint: z.union([z.enum(['each', 'manual']), z.strictObject({ every: z.number().int().min(1) })]).default('each'),
  /** Where the group begins in partitions that it has no cursor in. */
  from: position.default('start'),
  /** `for await` waits for what is appended later; else it ends when all is read. */
  follow: z.boolean().default(true),
  signal: signal.optional(),
})

export type ConsumerOptions = z.input<typeof consumerOptions>
export type FilledConsumerOptions = z.output<typeof consumerOptions>

const consumeLimits = z.strictObject({
  /** Records. */
  max: z.number().int().min(1).optional(),
  /** Bytes of keys and values; one record is given however large it is. */
  maxBytes: z.number().int().min(0).optional(),
})

export type ConsumeLimits = z.input<typeof consumeLimits>

const seekPosition = position

const seekOptions = z.strictObject({
  /** One partition; all that the consumer has where it is left out. */
  partition: z.number().int().min(0).optional(),
})

export type SeekOptions = z.input<typeof seekOptions>

/** What may be said of one record as it is sent. */
export interface RecordOptions {
  /** Records of one key go to one partition. */
  key?: string | Uint8Array | null
  headers?: Record<string, unknown> | null
  /** Milliseconds since 1970; now by default. */
  timestamp?: number
  /** Stricter than the topic's. */
  durability?: Exclude<Durability, object>
  /**
   * Of a named producer that writes to one partition: the record's number, or that of a batch's first record, counted
   * from 0 without a gap. What was accepted with it before is there once. By default the next.
   */
  sequence?: number
}

/** One object for all calls that name none: that it is this one says so without a look inside. */
export const NO_RECORD_OPTIONS: RecordOptions = Object.freeze({})

export const checkOpenOptions = (options: OpenOptions): FilledOpenOptions => check(openOptions, options)
export const checkTopicOptions = (options: TopicOptions): TopicRequest => check(topicOptions, options)
export const checkProducerOptions = (options: ProducerOptions): ProducerOptions => check(producerOptions, options)
export const checkTrimOptions = (options: TrimOptions): TrimOptions => check(trimOptions, options)
export const checkReadOptions = (options: ReadOptions): FilledReadOptions => check(readOptions, options)

export const checkConsumerOptions = (options: ConsumerOptions): FilledConsumerOptions => check(consumerOptions, options)
export const checkConsumeLimits = (limits: ConsumeLimits): ConsumeLimits => check(consumeLimits, limits)

export function checkSeek(
  to: ConsumeFrom,
  options: SeekOptions,
  partitions: number,
): { position: ConsumeFrom; partition?: number } {
  const checked = { ...check(seekOptions, options), position: check(seekPosition, to, 'position') }
  if (checked.partition === undefined || checked.partition < partitions) return checked
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `the topic has partitions 0 to ${partitions - 1}, ${checked.partition} was given; take one of these`,
    { field: 'partition' },
  )
}

/**
 * What the schema makes of the options. Throws `INVALID_ARGUMENT` with the name of the one that is wrong; `whole` names
 * what is no set of options, but one value.
 */
export function check<Schema extends z.ZodType>(schema: Schema, options: unknown, whole = 'options'): z.output<Schema> {
  let refusal: { field: string; message: string }
  try {
    const result = schema.safeParse(options, { error: optionWords })
    if (result.success) return result.data
    const issue = result.error.issues[0]
    const field = issue.path.map(String).join('.') || (issue.code === 'unrecognized_keys' ? issue.keys[0] : whole)
    refusal = { field, message: issue.message }
  } catch (cause) {
    // A getter threw, or a proxy's trap, also while the refusal was put into words.
    throw invalidOption(whole, 'cannot be read', cause)
  }
  throw invalidOption(refusal.field, refusal.message)
}

function invalidOption(field: string, what: string, cause?: unknown): WalrusError {
  return new WalrusError('INVALID_ARGUMENT', `option ${field}: ${what}; see the table of options in the README`, {
    field,
    cause,
  })
}

export function batchTooLarge(bytes: number): WalrusError {
  return new WalrusError(
    'RECORD_TOO_LARGE',
    `a batch of ${bytes} bytes is over the limit of ${BATCH_BYTES_MAX}; append fewer records at once`,
  )
}

export function recordTooLarge(bytes: number): WalrusError {
  return new WalrusError(
    'RECORD_TOO_LARGE',
    `a record of ${bytes} bytes is over the limit of ${RECORD_BYTES_MAX}; split it, or store it elsewhere and append a reference`,
  )
}
