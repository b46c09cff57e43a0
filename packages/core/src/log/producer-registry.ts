import { createHash } from 'node:crypto'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { WalrusError } from '../errors.js'
import { FORMAT_VERSION, NAMED_PRODUCER_ID_MIN } from '../format/layout.js'
import { NAMED_PRODUCERS_MAX, PRODUCER_NAME_BYTES_MAX } from '../limits.js'
import { shown } from '../shown.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'

export const REGISTRY_FILE = 'producers.json'
const EPOCH_MAX = 0xffff_ffff

/** A named producer as its topic knows it. */
export interface RegisteredProducer {
  /** Stands in the batches' headers; no two names of a topic have the same. */
  id: number
  /** How often it was opened. Batches of an earlier opening are refused. */
  epoch: number
}

/** What is in a topic's `producers.json`. */
export interface ProducerRegistry {
  /** By partition: no named producer has written below this offset; null: none was ever opened there. */
  since: (number | null)[]
  producers: Record<string, RegisteredProducer>
}

/** The named producers of the topic in `directory`; undefined where none was ever opened. */
export function loadRegistry(fs: FileSystem, directory: string): ProducerRegistry | undefined {
  const file = path.join(directory, REGISTRY_FILE)
  return fs.exists(file) ? parseRegistry(file, readWholeFile(fs, file)) : undefined
}

/** A name to be opened. */
export interface ProducerOpening {
  name: string
  /** What the partitions' next records will have at least; null where it is not opened for that partition. */
  offsets: readonly (number | null)[]
}

/** Opens one named producer: see `registerProducers`. Throws its refusal. */
export function registerProducer(
  fs: FileSystem,
  directory: string,
  name: string,
  offsets: readonly (number | null)[],
): { producer: RegisteredProducer; registry: ProducerRegistry } {
  const { opened, registry } = registerProducers(fs, directory, [{ name, offsets }])
  const [producer] = opened
  if (producer instanceof WalrusError) throw producer
  return { producer, registry }
}

/**
 * Opens named producers once more: the epoch of each is one higher than ever before, durably, when this returns. What
 * cannot be opened has its refusal in its place.
 */
export function registerProducers(
  fs: FileSystem,
  directory: string,
  openings: readonly ProducerOpening[],
): { opened: (RegisteredProducer | WalrusError)[]; registry: ProducerRegistry } {
  const known = loadRegistry(fs, directory)
  const producers: Record<string, RegisteredProducer> = Object.assign(Object.create(null), known?.producers)
  const registry = { since: [...(known?.since ?? [])], producers }
  const opened = openings.map((opening) => {
    try {
      return register(registry, opening)
    } catch (error) {
      if (error instanceof WalrusError) return error
      throw error
    }
  })
  if (opened.some((producer) => !(producer instanceof WalrusError)))
    publishFile(fs, directory, REGISTRY_FILE, encodeRegistry(registry))
  return { opened, registry }
}

function register({ since, producers }: ProducerRegistry, { name, offsets }: ProducerOpening): RegisteredProducer {
  checkProducerName(name)
  const before = producers[name]
  if (before === undefined && Object.keys(producers).length >= NAMED_PRODUCERS_MAX) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `the topic has ${NAMED_PRODUCERS_MAX} named producers; use one of their names again, or another topic`,
      { field: 'producerId' },
    )
  }
  if (before !== undefined && before.epoch >= EPOCH_MAX) {
    throw new WalrusError('INVALID_ARGUMENT', 'the producer was opened too often; take another name', {
      field: 'producerId',
    })
  }
  const producer = { id: before?.id ?? newId(name, producers), epoch: (before?.epoch ?? 0) + 1 }
  producers[name] = producer
  // A partition that had to be cut goes on at a lower offset than it began with.
  offsets.forEach((offset, partition) => {
    const earlier = since[partition] ?? null
    since[partition] = offset === null || earlier === null ? (offset ?? earlier) : Math.min(offset, earlier)
  })
  return producer
}

/** The file of a copy that has each partition up to `ends`: what is written to it from there on, a name may have written. */
export function clampRegistry({ since, producers }: ProducerRegistry, ends: readonly number[]): Uint8Array {
  const clamp = (end: number, offset: number | null): number | null => (offset === null ? null : Math.min(end, offset))
  return encodeRegistry({ since: ends.map((end, partition) => clamp(end, since[partition] ?? null)), producers })
}

/** Throws `INVALID_ARGUMENT` unless it can name a producer. */
export function checkProducerName(name: unknown): asserts name is string {
  const bytes = typeof name === 'string' ? Buffer.from(name) : Buffer.alloc(0)
  if (bytes.length >= 1 && bytes.length <= PRODUCER_NAME_BYTES_MAX && bytes.toString() === name) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a producerId has 1 to ${PRODUCER_NAME_BYTES_MAX} bytes of UTF-8, ${shown(name)} was given; take a shorter or another one`,
    { field: 'producerId' },
  )
}

/** 52 bits of the name's digest; the next number that is free where another name has these. */
function newId(name: string, producers: Record<string, RegisteredProducer>): number {
  const taken = new Set(Object.values(producers).map(({ id }) => id))
  const digest = createHash('sha256').update(name).digest()
  let low = digest.readUIntBE(0, 6) * 16 + (digest[6] & 15)
  while (taken.has(NAMED_PRODUCER_ID_MIN + low)) low = (low + 1) % NAMED_PRODUCER_ID_MIN
  return NAMED_PRODUCER_ID_MIN + low
}

/** `check` is the CRC-32 of the rest, as `JSON.stringify` writes it. */
function encodeRegistry(registry: ProducerRegistry): Uint8Array {
  const check = crc32(JSON.stringify(registry))
  return new TextEncoder().encode(`${JSON.stringify({ version: FORMAT_VERSION, check, ...registry }, null, 1)}\n`)
}

function parseRegistry(file: string, bytes: Uint8Array): ProducerRegistry {
  const corrupt = (cause?: unknown): WalrusError =>
    new WalrusError('SEGMENT_CORRUPT', `${file} is not what this program wrote; restore it from a copy`, {
      cause,
      file,
      position: 0,
    })
  let parsed: Partial<ProducerRegistry> & { version?: number; check?: number }
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw corrupt(cause)
  }
  if (typeof parsed !== 'object' || parsed === null) throw corrupt()
  const { version, check, since, producers } = parsed
  if (version !== FORMAT_VERSION) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has version ${version}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file },
    )
  }
  if (!Array.isArray(since) || typeof producers !== 'object' || producers === null) throw corrupt()
  if (crc32(JSON.stringify({ since, producers })) !== check) throw corrupt()
  return { since, producers }
}
