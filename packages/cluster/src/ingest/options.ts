import { basename, extname } from 'node:path'
import { PARTITIONS_MAX, shown, WalrusError } from '@walrus-log/core'
import { z } from 'zod'
import { FORMATS } from './format.js'
import { STANDARD_INPUT } from './input.js'
import { EVERY_MS_MAX, PRODUCERS_MAX } from './limits.js'
import { producersDefault } from './produce/producer-pool.js'

const durability = z.union([
  z.enum(['none', 'os', 'disk']),
  z.strictObject({ everyMs: z.number().int().min(1).max(EVERY_MS_MAX) }),
])

/** A description is what people are told who gave something else. */
const ingestOptions = z.strictObject({
  /** Files to read, `-` for standard input. None: the flights that come with a clone of the repository. */
  files: z.array(z.string().min(1)).default([]).describe('the names of files'),
  /** Directory of the log. */
  dir: z.string().min(1).default('./data').describe('the path of a directory'),
  namespace: z.string().optional().describe('a name'),
  /** The name of the first file, without its extension, unless given. */
  topic: z.string().optional().describe('a name'),
  /** Told by each file's name, or its beginning, unless given. */
  format: z
    .enum(FORMATS)
    .optional()
    .describe(`one of ${FORMATS.join(', ')}`),
  /** Between the fields of CSV; a comma, or a tab for .tsv. */
  delimiter: z
    .string()
    .regex(/^[\t\x20\x21\x23-\x7e]$/)
    .optional()
    .describe('one ASCII character that is not the quote'),
  /** Of a new topic: one for each core, at least 2. */
  partitions: z
    .number()
    .int()
    .min(1)
    .max(PARTITIONS_MAX)
    .optional()
    .describe(`a whole number from 1 to ${PARTITIONS_MAX}`),
  /** Of a new topic: disk. An existing topic keeps its own unless another one is given. */
  durability: durability.optional().describe(`disk, os, none, or 1 to ${EVERY_MS_MAX} milliseconds between two syncs`),
  /** How sealed segments are kept: none. An existing topic keeps its own unless another one is given. */
  compression: z.enum(['none', 'lz4', 'zstd']).optional().describe('none, lz4 or zstd'),
  /** Threads that parse and send. */
  producers: z
    .number()
    .int()
    .min(1)
    .max(PRODUCERS_MAX)
    .default(() => producersDefault())
    .describe(`a whole number from 1 to ${PRODUCERS_MAX}`),
  /** Field that becomes the key: records of one key go to one partition, in the order of the source. */
  key: z.string().min(1).optional().describe('the name of a field'),
  /** Stop at the first reject: everything before it is written, and nothing behind it. */
  strict: z.boolean().default(false).describe('true or false'),
  /** Go on where an earlier run over the same files has ended, or was killed. */
  resume: z.boolean().default(false).describe('true or false'),
  /** Read everything back and compare. */
  verify: z.boolean().default(true).describe('true or false'),
})

export type IngestOptions = z.input<typeof ingestOptions>
export type FilledIngestOptions = Readonly<z.output<typeof ingestOptions>>

/** Fills in the defaults. Throws `INVALID_ARGUMENT`. */
export function fillOptions(options: IngestOptions): FilledIngestOptions {
  const result = ingestOptions.safeParse(options)
  if (!result.success) throw refusalOf(result.error.issues[0], options)
  const filled = result.data
  if (filled.key !== undefined && filled.format === 'lines') {
    throw invalid('key', 'option key: plain lines have no fields; take another format, or leave the key out')
  }
  return Object.freeze(filled)
}

function refusalOf(issue: z.core.$ZodIssue, options: IngestOptions): WalrusError {
  if (issue.code === 'unrecognized_keys') return invalid(issue.keys[0], `there is no option ${issue.keys[0]}`)
  const field = String(issue.path[0] ?? 'options')
  const allowed = ingestOptions.shape[field as keyof IngestOptions]?.description ?? 'an object'
  const given = issue.path.reduce<unknown>((value, name) => (value as Record<PropertyKey, unknown>)[name], options)
  return invalid(field, `option ${field}: ${shown(given)} was given, ${allowed} is wanted`)
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
