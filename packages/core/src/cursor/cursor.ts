import { WalrusError } from '../errors.js'
import { copyBytes } from '../format/record.js'
import { Region, readU64, writeU64 } from '../format/region.js'

/** Whose cursor it is: a group's in one partition of a topic. A topic made again under the same name is another one. */
export interface CursorKey {
  group: string
  topic: string
  /** The topic's `createdMs`. */
  createdMs: number
  partition: number
}

/** What one record of the cursor log says. */
export interface CursorEntry extends CursorKey {
  /** The next record that the group wants: all before it are handled. */
  offset: number
  /** Raised with each grant of the partition to a member: what a former holder still writes counts no more. */
  generation: number
  /** Offset, in the cursor log, of the record that said so first; a copy keeps the original's. */
  version: number
}

/*
 * value = at 0: u32 version of the form, 1   4: u32 zero   8: u64 offset   16: u64 generation
 *           24: u64 version, and 2^53 - 1 for "this record's own offset"   32: group/topic/createdMs/partition as UTF-8
 */
const FORM = 1
const OFFSET_AT = 8
const GENERATION_AT = 16
const VERSION_AT = 24
const KEY_AT = 32
const OWN_VERSION = Number.MAX_SAFE_INTEGER

/** Names hold no slash, so that the parts are told apart. */
export function cursorKeyText({ group, topic, createdMs, partition }: CursorKey): string {
  return `${group}/${topic}/${createdMs}/${partition}`
}

/** The value of a cursor log's record. `copiedFrom`: the version of what is copied; a new cursor has none. */
export function encodeCursor(cursor: Omit<CursorEntry, 'version'>, copiedFrom = OWN_VERSION): Uint8Array {
  const key = Buffer.from(cursorKeyText(cursor), 'utf8')
  const region = Region.allocate(KEY_AT + key.length)
  region.u32[0] = FORM
  writeU64(region, OFFSET_AT, cursor.offset)
  writeU64(region, GENERATION_AT, cursor.generation)
  writeU64(region, VERSION_AT, copiedFrom)
  copyBytes(region.u8, KEY_AT, key)
  return region.u8.subarray(0, KEY_AT + key.length)
}

/** Reads the value of the cursor log's record at `recordOffset`. Throws `SEGMENT_CORRUPT`, `FORMAT_VERSION`. */
export function decodeCursor(value: Uint8Array | null, recordOffset: number): CursorEntry {
  if (value === null || value.length <= KEY_AT) throw notACursor(recordOffset)
  const region = Region.allocate(value.length)
  region.u8.set(value)
  const form = region.u32[0]
  if (form !== FORM) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `the cursor at offset ${recordOffset} of the cursor log has form ${form}, this version reads ${FORM}; open the log with the version that wrote it`,
      { offset: recordOffset },
    )
  }
  const parts = region.bytes.toString('utf8', KEY_AT, value.length).split('/')
  const version = readU64(region, VERSION_AT)
  const entry: CursorEntry = {
    group: parts[0],
    topic: parts[1] ?? '',
    createdMs: Number(parts[2]),
    partition: Number(parts[3]),
    offset: readU64(region, OFFSET_AT),
    generation: readU64(region, GENERATION_AT),
    version: version === OWN_VERSION ? recordOffset : version,
  }
  if (parts.length !== 4 || !Number.isSafeInteger(entry.partition) || !Number.isFinite(entry.createdMs))
    throw notACursor(recordOffset)
  return entry
}

function notACursor(offset: number): WalrusError {
  return new WalrusError(
    'SEGMENT_CORRUPT',
    `the record at offset ${offset} of the cursor log is no cursor; restore the directory of the cursor log from a copy, or remove it to begin every group anew`,
    { offset },
  )
}

/**
 * The cursors that a cursor log speaks of: for each key the entry that is highest by generation, then by version.
 *
 * Taking the highest makes the order of taking irrelevant, and taking one twice harmless: a copy that was written while
 * its original was overtaken changes nothing, nor does a commit that a former holder of the partition wrote too late.
 */
export class CursorTable {
  readonly #entries = new Map<string, CursorEntry>()

  get size(): number {
    return this.#entries.size
  }

  /** Takes an entry if it overtakes what is known. Returns whether it did. */
  maybeTake(entry: CursorEntry): boolean {
    const key = cursorKeyText(entry)
    const known = this.#entries.get(key)
    if (known !== undefined && !overtakes(entry, known)) return false
    this.#entries.set(key, entry)
    return true
  }

  get(key: CursorKey): CursorEntry | undefined {
    return this.#entries.get(cursorKeyText(key))
  }

  entries(): IterableIterator<CursorEntry> {
    return this.#entries.values()
  }

  /** Forgets the cursors for which `isDead` holds; who copies the table leaves them behind. */
  forget(isDead: (key: CursorKey) => boolean): void {
    for (const [text, entry] of this.#entries) if (isDead(entry)) this.#entries.delete(text)
  }
}

function overtakes(entry: CursorEntry, known: CursorEntry): boolean {
  if (entry.generation !== known.generation) return entry.generation > known.generation
  return entry.version > known.version
}

/** Why a cursor stands elsewhere than where it was left. */
export type CursorMove = 'trimmed' | 'data-loss'

/**
 * Where a cursor stands in a partition that has the offsets [first, next): what it pointed to may have been trimmed, or
 * lost with the machine where the topic's durability allowed that. A cursor is never past the data.
 */
export function placeCursor(offset: number, first: number, next: number): { offset: number; move?: CursorMove } {
  if (offset > next) return { offset: next, move: 'data-loss' }
  if (offset < first) return { offset: first, move: 'trimmed' }
  return { offset }
}
