import { basename, extname } from 'node:path'
import { PARTITIONS_MAX, WalrusError } from '@walrus-log/core'
import { z } from 'zod'
import { FORMATS } from './format.js'
import { STANDARD_INPUT } from './input.js'
import { producersDefault } from './produce/producer-pool.js'

const PRODUCERS_MAX = 64

const durability = z.union([
  z.enum(['none', 'os', 'disk']),
  z.strictObject({ everyMs: z.number().int().min(1).max(3_600_000) }),
])

const ingestOptions = z.strictObject({
  /** Files to read, `-` for standard input. None: the flights that come with a clone of the repository. */
  files: z.array(z.string().min(1)).default([]),
  /** Directory of the log. */
  dir: z.string().min(1).default('./data'),
  namespace: z.string().optional(),
  /** The name of the first file, without its extension, unless given. */
  topic: z.string().optional(),
  /** Told by each file's name, or its beginning, unless given. */
  format: z.enum(FORMATS).optional(),
  /** Between the fields of CSV; a comma, or a tab for .tsv. */
  delimiter: z
    .string()
    .regex(/^[\t\x20-\x7e]$/, 'must be one ASCII character')
    .refine((character) => character !== '"', 'cannot be the quote')
    .optional(),
  /** Of a new topic: one for each core, at least 2. */
  partitions: z.number().int().min(1).max(PARTITIONS_MAX).optional(),
  /** Of a new topic: disk. An existing topic keeps its own unless another one is given. */
  durability: durability.optional(),
  /** Threads that parse and send. */
  producers: z
    .number()
    .int()
    .min(1)
    .max(PRODUCERS_MAX)
    .default(() => producersDefault()),
  /** Field that becomes the key: records of one key go to one partition, in the order of the source. */
  key: z.string().min(1).optional(),
  /** Stop at the first reject: everything before it is written, and nothing behind it. */
  strict: z.boolean().default(false),
  /** Go on where an earlier run over the same files has ended, or was killed. */
  resume: z.boolean().default(false),
  /** Read everything back and compare. */
  verify: z.boolean().default(true),
})

export type IngestOptions = z.input<typeof ingestOptions>
export type FilledIngestOptions = Readonly<z.output<typeof ingestOptions>>

/** Fills in the defaults. Throws `INVALID_ARGUMENT`. */
export function fillOptions(options: IngestOptions): FilledIngestOptions {
  const result = ingestOptions.safeParse(options)
  if (!result.success) {
    const [issue] = result.error.issues
    const field = issue.path.join('.') || 'options'
    throw invalid(field, `option ${field}: ${issue.message}`)
  }
  const filled = result.data
  if (filled.key !== undefined && filled.format === 'lines') {
    throw invalid('key', 'option key: plain lines have no fields; take another format, or leave the key out')
  }
  return Object.freeze(filled)
}

/** A topic's name for a file; what a name cannot hold becomes `_`. */
export function topicOf(file: string): string {
  if (file === STANDARD_INPUT) return 'stdin'
  const name = basename(file, extname(file)).replace(/[^A-Za-z0-9._-]/g, '_')
  return name.replace(/^[.-]+/, '').replace(/\.+$/, '') || 'topic'
}

export function invalid(field: string, message: string): WalrusError {
  return new WalrusError('INVALID_ARGUMENT', message, { field })
}
