/**
 * The on-disk layout, version 1, as offsets and sizes; `docs/format.md` is the specification. Everything is
 * little-endian and every structure begins at a multiple of 8 bytes, so that typed arrays can address it in place.
 *
 * ```
 * segment file   = segment header, batch*, zeros*            (zeros: the part given to the file ahead of the data)
 * compressed     = segment header, compression header, block entry*, block*, block entry*, compression header, segment header
 * batch          = batch header (96 bytes), record+          (length is a multiple of 8)
 * record         = record header (16 bytes), key, headers, value, padding to 8
 * ```
 *
 * Who writes which part of a batch header: bytes 0-23 and 36-39 the segment writer ("stamp"), all else the producer.
 * The stamp's own check covers bytes 0-35, thus also the producer's length and checksum; the producer's checksum covers
 * bytes 40 to the end. No byte of a batch is outside both.
 */
export const FORMAT_VERSION = 1

export const ALIGNMENT_BYTES = 8

// Segment header.
export const SEGMENT_MAGIC = 0x4753_4c57 // "WLSG"
export const SEGMENT_HEADER_BYTES = 64
export const SEGMENT_MAGIC_AT = 0
export const SEGMENT_VERSION_AT = 4
export const SEGMENT_BASE_OFFSET_AT = 8
export const SEGMENT_ID_AT = 16
export const SEGMENT_EPOCH_AT = 20
export const SEGMENT_CREATED_MS_AT = 24
export const SEGMENT_ACKNOWLEDGED_OFFSET_AT = 32
export const SEGMENT_PARTITION_AT = 40
export const SEGMENT_GENERATION_AT = 44
export const SEGMENT_RESERVED_AT = 48
export const SEGMENT_CHECK_AT = 60

// Compressed segment: a file of this version begins and ends with the two headers and the table of its blocks.
export const COMPRESSED_VERSION = 2
export const COMPRESSION_MAGIC = 0x5a43_4c57 // "WLCZ"
export const COMPRESSION_HEADER_BYTES = 64
export const COMPRESSION_MAGIC_AT = 0
export const COMPRESSION_CODEC_AT = 4
export const COMPRESSION_BLOCK_COUNT_AT = 8
export const COMPRESSION_TABLE_CHECK_AT = 12
export const COMPRESSION_RAW_BYTES_AT = 16
export const COMPRESSION_FILE_BYTES_AT = 24
export const COMPRESSION_RESERVED_AT = 32
export const COMPRESSION_CHECK_AT = 60
export const COMPRESSED_HEAD_BYTES = SEGMENT_HEADER_BYTES + COMPRESSION_HEADER_BYTES
export const BLOCK_CODEC_LZ4 = 1
export const BLOCK_CODEC_ZSTD = 2
// An entry of the block table.
export const BLOCK_ENTRY_BYTES = 16
export const BLOCK_RAW_BYTES_AT = 0
export const BLOCK_STORED_BYTES_AT = 4
export const BLOCK_CHECK_AT = 8
export const BLOCK_FORM_AT = 12
export const BLOCK_AS_IT_IS = 0
export const BLOCK_COMPRESSED = 1

// Batch header.
export const BATCH_MAGIC = 0x3142_4c57 // "WLB1"
export const BATCH_HEADER_BYTES = 96
export const BATCH_BASE_OFFSET_AT = 0
export const BATCH_ACKNOWLEDGED_OFFSET_AT = 8
export const BATCH_EPOCH_AT = 16
export const BATCH_SEGMENT_ID_AT = 20
export const BATCH_LENGTH_AT = 24
export const BATCH_MAGIC_AT = 28
export const BATCH_CHECKSUM_AT = 32
export const BATCH_STAMP_CHECK_AT = 36
export const BATCH_RECORD_COUNT_AT = 40
export const BATCH_ATTRIBUTES_AT = 44
export const BATCH_TIMESTAMP_FIRST_AT = 48
export const BATCH_TIMESTAMP_MAX_AT = 56
export const BATCH_PRODUCER_ID_AT = 64
export const BATCH_SEQUENCE_FIRST_AT = 72
export const BATCH_PRODUCER_EPOCH_AT = 80
/** Of a thinned batch: how many records are left. Zero in any other. */
export const BATCH_KEPT_COUNT_AT = 84
export const BATCH_RESERVED_AT = 88
/** The producer's checksum covers the batch from here on. */
export const BATCH_CHECKSUM_FROM = BATCH_RECORD_COUNT_AT
/** The stamp's check covers the header up to here. */
export const BATCH_STAMP_CHECK_TO = BATCH_STAMP_CHECK_AT

// Batch attributes: bits 0-2 name the durability that the producer asked for, bit 3 says that compaction has thinned the
// batch; all others are zero.
export const ATTRIBUTE_DURABILITY_MASK = 0b111
export const ATTRIBUTE_THINNED = 0b1000
/** An entry of the table behind a thinned batch's records: a record's offset, less the batch's base offset. */
export const OFFSET_DELTA_BYTES = 4

/** Ids of producers that a user named begin here: bit 52. Those of producers without a name are below 2^48. */
export const NAMED_PRODUCER_ID_MIN = 2 ** 52

// Record header. `VALUE_NULL` in the value length means "no value" (a tombstone), which an empty value is not.
export const RECORD_HEADER_BYTES = 16
export const RECORD_VALUE_LENGTH_AT = 0
export const RECORD_KEY_LENGTH_AT = 4
export const RECORD_HEADERS_LENGTH_AT = 8
export const RECORD_TIMESTAMP_DELTA_AT = 12
export const LENGTH_NULL = 0xffff_ffff

// Index file of a sealed segment.
export const INDEX_MAGIC = 0x5849_4c57 // "WLIX"
export const INDEX_HEADER_BYTES = 96
export const INDEX_ENTRY_BYTES = 24
export const INDEX_MAGIC_AT = 0
export const INDEX_VERSION_AT = 4
export const INDEX_SEGMENT_ID_AT = 8
export const INDEX_ENTRY_COUNT_AT = 12
export const INDEX_BASE_OFFSET_AT = 16
export const INDEX_RECORD_COUNT_AT = 24
export const INDEX_DATA_BYTES_AT = 32
export const INDEX_TIMESTAMP_FIRST_AT = 40
export const INDEX_TIMESTAMP_MAX_AT = 48
export const INDEX_SEALED_MS_AT = 56
export const INDEX_BATCH_COUNT_AT = 64
export const INDEX_DIGEST_AT = 72
export const INDEX_EPOCH_LAST_AT = 76
export const INDEX_GENERATION_AT = 80
export const INDEX_RESERVED_AT = 84
export const INDEX_CHECK_AT = 92

// Gaps file of a segment of which something is given up.
export const GAPS_MAGIC = 0x5047_4c57 // "WLGP"
export const GAPS_HEADER_BYTES = 32
export const GAPS_ENTRY_BYTES = 32
export const GAPS_MAGIC_AT = 0
export const GAPS_VERSION_AT = 4
export const GAPS_SEGMENT_ID_AT = 8
export const GAPS_ENTRY_COUNT_AT = 12
export const GAPS_BASE_OFFSET_AT = 16
export const GAPS_RESERVED_AT = 24
export const GAPS_CHECK_AT = 28

// File of the named producers, beside a sealed segment.
export const PRODUCERS_MAGIC = 0x5250_4c57 // "WLPR"
export const PRODUCERS_HEADER_BYTES = 48
export const PRODUCERS_MAGIC_AT = 0
export const PRODUCERS_VERSION_AT = 4
export const PRODUCERS_SEGMENT_ID_AT = 8
export const PRODUCERS_COUNT_AT = 12
export const PRODUCERS_BASE_OFFSET_AT = 16
export const PRODUCERS_OFFSET_END_AT = 24
export const PRODUCERS_RESERVED_AT = 32
export const PRODUCERS_CHECK_AT = 44
/** A producer: id, next sequence, epoch, number of recent batches; then these: sequence, offset, records, zero. */
export const PRODUCER_BYTES = 24
export const RECENT_BATCH_BYTES = 24

/** Bytes rounded up to the next multiple of 8. Exact for sizes below 2^31. */
export function align8(bytes: number): number {
  return (bytes + 7) & ~7
}

/** Bytes that a record takes in a batch. */
export function recordBytes(valueLength: number, keyLength: number, headersLength: number): number {
  return align8(RECORD_HEADER_BYTES + valueLength + keyLength + headersLength)
}
