import { assert } from './errors.js'
import {
  BATCH_HEADER_BYTES,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from './format/layout.js'

/** A segment is cut at this size unless the topic says otherwise: large enough that a roll (a file, a seal) is rare
 *  at 2 GB/s, small enough that retention frees space in useful steps. */
export const SEGMENT_BYTES_DEFAULT = 512 * 1024 * 1024
export const SEGMENT_BYTES_MIN = 4 * 1024
/** Positions inside a segment stay below 2^32, so that 32-bit tables can name them. */
export const SEGMENT_BYTES_MAX = 4 * 1024 * 1024 * 1024 - 8

/** Walrus' own threshold (`WALRUS_MAX_SEGMENT_ENTRIES`). */
export const SEGMENT_ENTRIES_DEFAULT = 1_000_000

/** One batch, whatever carries it: as much as a segment has by default. Bounds what a reader must hold to check it. */
export const BATCH_BYTES_MAX = 512 * 1024 * 1024

/** Value, key and headers of one record together. */
export const RECORD_BYTES_MAX = 64 * 1024 * 1024

/** Offsets are JavaScript numbers: exact up to here, refused beyond. */
export const OFFSET_MAX = Number.MAX_SAFE_INTEGER

/** Distance in file bytes between two entries of a segment's index: one `pread` of this size finds any record. */
export const INDEX_INTERVAL_BYTES = 64 * 1024

/** The index of the largest segment; a larger file is none, and is not read into memory. */
export const INDEX_BYTES_MAX =
  INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES * (Math.floor(SEGMENT_BYTES_MAX / INDEX_INTERVAL_BYTES) + 1)

/** Stretches of one segment that may be given up: a file with more damage than this is none to go on with. */
export const GAPS_MAX = 1 << 20

/** The open segment's file is given its size this far ahead, so that a sync has no size to journal. */
export const PREALLOCATE_BYTES = 64 * 1024 * 1024

/** What one read call asks of the file system; the size that the read benchmark's baseline uses too. */
export const READ_CHUNK_BYTES = 1024 * 1024

/** A block of a compressed segment: what a seek has to read and decompress. Larger ones compress flight records no better,
 *  and smaller ones cost a call each. */
export const BLOCK_BYTES_MAX = 128 * 1024

/** Named producers of one topic: their table is in memory once a partition, and written whole at each seal. */
export const NAMED_PRODUCERS_MAX = 10_000
export const PRODUCER_NAME_BYTES_MAX = 1000

export const PARTITIONS_MAX = 4096
export const NAME_LENGTH_MAX = 200

assert(
  RECORD_BYTES_MAX + RECORD_HEADER_BYTES + BATCH_HEADER_BYTES + 8 <= BATCH_BYTES_MAX,
  'the largest record fits a batch of its own',
)
assert(
  SEGMENT_BYTES_MIN > SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES + RECORD_HEADER_BYTES,
  'the smallest segment holds a record',
)
assert(PREALLOCATE_BYTES % 8 === 0 && SEGMENT_BYTES_MAX % 8 === 0, 'segment sizes keep the 8-byte alignment')
