import path from 'node:path'
import { WalrusError } from '../errors.js'
import { FORMAT_VERSION } from '../format/layout.js'
import {
  PARTITIONS_MAX,
  SEGMENT_BYTES_DEFAULT,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  SEGMENT_ENTRIES_DEFAULT,
} from '../limits.js'
import { shown } from '../shown.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'
import { type KeepingConfig, wrongKeepingField } from './keeping.js'
import { checkName, isName } from './names.js'
import { checkSettings, encodeSettings } from './topic-file.js'

export type Codec = 'bytes' | 'utf8' | 'json' | 'msgpack'

/** What an acknowledgement promises; weaker first. See `docs/durability.md`. */
export type Durability = 'none' | 'os' | 'disk' | { everyMs: number }

/** A topic's settings, as they stand in its `topic.json`. */
export interface TopicConfig extends KeepingConfig {
  name: string
  partitions: number
  codec: Codec
  durability: Durability
  segmentBytes: number
  segmentEntries: number
  createdMs: number
}

/** What a caller asks of a topic; what it leaves out is kept, or the default for a new topic. */
export type TopicRequest = Partial<Omit<TopicConfig, 'name' | 'createdMs'>>

export const CONFIG_FILE = 'topic.json'
const DELETED_PREFIX = '.deleted-'

/** The topics of one namespace: a directory each, with its settings. Synchronous; owned by the holder of the lock. */
export class TopicStore {
  readonly #fs: FileSystem
  readonly #directory: string

  /** `directory` is the namespace's. */
  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs
    this.#directory = directory
  }

  list(): TopicConfig[] {
    if (!this.#fs.exists(this.#directory)) return []
    const topics: TopicConfig[] = []
    for (const name of this.#fs.list(this.#directory).sort()) {
      // What no topic can be called, such as the rest of a deletion, is none.
      if (isName(name) && this.#fs.exists(path.join(this.#directory, name, CONFIG_FILE))) topics.push(this.get(name))
    }
    return topics
  }

  /** Throws `UNKNOWN_TOPIC` where there is none of that name. */
  get(name: string): TopicConfig {
    return this.#read(name, false)
  }

  /** Takes settings whose checksum does not hold as they stand, where they can be a topic's, and gives them a new one. */
  accept(name: string): void {
    this.#write(path.join(this.#directory, name), this.#read(name, true))
  }

  #read(name: string, isAccepted: boolean): TopicConfig {
    checkName('topic', name)
    const file = path.join(this.#directory, name, CONFIG_FILE)
    if (!this.#fs.exists(file)) {
      throw new WalrusError(
        'UNKNOWN_TOPIC',
        `there is no topic ${JSON.stringify(name)} in ${this.#directory}; create it, or look at the list of topics`,
      )
    }
    return parseConfig(name, file, readWholeFile(this.#fs, file), isAccepted)
  }

  /** Opens or creates. Throws `INVALID_ARGUMENT` for settings that cannot be. A different partition count or codec is `TOPIC_MISMATCH`; other settings that are given are kept. */
  open(name: string, request: TopicRequest, defaults: { durability: Durability }, nowMs: number): TopicConfig {
    checkName('topic', name)
    const directory = path.join(this.#directory, name)
    const given: TopicRequest = Object.fromEntries(
      Object.entries(copyOf(request)).filter(([, value]) => value !== undefined),
    )
    if (!this.#fs.exists(path.join(directory, CONFIG_FILE))) {
      const config: TopicConfig = {
        name,
        partitions: 1,
        codec: 'bytes',
        durability: defaults.durability,
        segmentBytes: SEGMENT_BYTES_DEFAULT,
        segmentEntries: SEGMENT_ENTRIES_DEFAULT,
        createdMs: nowMs,
        ...given,
      }
      checkConfig(config)
      this.#fs.makeDirectory(directory)
      this.#write(directory, config)
      return config
    }
    const existing = this.get(name)
    for (const field of ['partitions', 'codec'] as const) {
      const asked = given[field]
      if (asked === undefined || asked === existing[field]) continue
      throw new WalrusError(
        'TOPIC_MISMATCH',
        `topic ${JSON.stringify(name)} has ${field} ${JSON.stringify(existing[field])}, ${JSON.stringify(asked)} was asked for; open it without ${field}, or take another name`,
        { field },
      )
    }
    const config = { ...existing, ...given }
    checkConfig(config)
    if (JSON.stringify(config) !== JSON.stringify(existing)) this.#write(directory, config)
    return config
  }

  /**
   * Removes the topic with all its records. Returns its `createdMs`, by which cursors know it: the next topic of that name
   * has to have a later one.
   */
  delete(name: string, nowMs: number): number {
    const { createdMs } = this.get(name)
    const doomed = path.join(this.#directory, `${DELETED_PREFIX}${name}.${nowMs}`)
    // Under its new name, which no topic can have, it is gone at once and whole; the space follows.
    this.#fs.rename(path.join(this.#directory, name), doomed)
    this.#fs.syncDirectory(this.#directory)
    this.#fs.removeTree(doomed)
    return createdMs
  }

  /** Frees the space of topics whose deletion was interrupted. */
  finishDeletions(): void {
    if (!this.#fs.exists(this.#directory)) return
    const deleted = this.#fs.list(this.#directory).filter((name) => name.startsWith(DELETED_PREFIX))
    // Or a loss of power could bring a topic back under its own name, without its files.
    if (deleted.length > 0) this.#fs.syncDirectory(this.#directory)
    for (const name of deleted) this.#fs.removeTree(path.join(this.#directory, name))
  }

  partitionDirectory(name: string, partition: number): string {
    return path.join(this.#directory, name, String(partition))
  }

  #write(directory: string, config: TopicConfig): void {
    publishFile(this.#fs, directory, CONFIG_FILE, encodeSettings(config))
  }
}

function parseConfig(name: string, file: string, bytes: Uint8Array, isAccepted: boolean): TopicConfig {
  const corrupt = (cause?: unknown): WalrusError =>
    new WalrusError(
      'SEGMENT_CORRUPT',
      `${file} is not the JSON that this program wrote; restore it from a copy, or have 'walrus verify --repair' accept it as it is`,
      {
        cause,
        file,
        position: 0,
      },
    )
  let parsed: Partial<TopicConfig> & { version?: number; check?: string }
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw corrupt(cause)
  }
  if (typeof parsed !== 'object' || parsed === null) throw corrupt()
  const { version, check: _check, ...config } = parsed
  if (version !== FORMAT_VERSION) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has version ${version}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
      { file },
    )
  }
  if (wrongField(config) !== undefined || (!isAccepted && checkSettings(bytes) === 'damaged')) throw corrupt()
  return { ...(config as TopicConfig), name }
}

const CODECS: readonly unknown[] = ['bytes', 'utf8', 'json', 'msgpack'] satisfies Codec[]

/** Name of the first setting that no topic can have. */
function wrongField(config: Partial<TopicConfig>): keyof TopicConfig | undefined {
  const { partitions, codec, durability, segmentBytes, segmentEntries } = config
  if (!isWithin(partitions, 1, PARTITIONS_MAX)) return 'partitions'
  if (!CODECS.includes(codec)) return 'codec'
  if (!isDurability(durability)) return 'durability'
  if (!isWithin(segmentBytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)) return 'segmentBytes'
  if (!isWithin(segmentEntries, 1, Number.MAX_SAFE_INTEGER)) return 'segmentEntries'
  return wrongKeepingField(config)
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
}

function isDurability(value: unknown): boolean {
  if (value === 'none' || value === 'os' || value === 'disk') return true
  const everyMs = (value as { everyMs?: unknown } | null | undefined)?.everyMs
  return typeof everyMs === 'number' && everyMs > 0 && Number.isFinite(everyMs)
}

/** The request as plain values, which are the same whenever they are looked at. Only such can be written into the file. */
function copyOf(request: TopicRequest): TopicRequest {
  let cause: unknown
  try {
    if (typeof request === 'object' && request !== null) return structuredClone(request)
  } catch (error) {
    cause = error
  }
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a topic's settings are an object of plain values, ${shown(request)} was given; see TopicConfig for what it takes`,
    { field: 'options', cause },
  )
}

function checkConfig(config: TopicConfig): void {
  const field = wrongField(config)
  if (field === undefined) return
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `topic ${JSON.stringify(config.name)} cannot have ${field} ${shown(config[field])}; see TopicConfig for what it takes`,
    { field },
  )
}
