export { type BackupOptions, type BackupProgress, type BackupReport, backupLog } from './backup/backup-log.js'
export {
  type CompactionOptions,
  type CompactionPass,
  compactPartition,
} from './compaction/compact-partition.js'
export type { Compression } from './compression/codec.js'
export {
  type CursorEntry,
  type CursorKey,
  type CursorMove,
  CursorTable,
  cursorKeyText,
  decodeCursor,
  encodeCursor,
  placeCursor,
} from './cursor/cursor.js'
export { cursorCopies, readCursorLog, trimCursorLog } from './cursor/cursor-store.js'
export { type Checkpoint, type Commit, ConsumerProgress } from './cursor/progress.js'
export {
  assert,
  isDiskFull,
  isWalrusError,
  systemErrorCode,
  WalrusError,
  type WalrusErrorCode,
  type WalrusErrorDetails,
  withCode,
} from './errors.js'
export * from './format/batch.js'
export { type BatchOrigin, type EncodedBatch, encodeBatch, encodeBatchInto } from './format/batch-encoder.js'
export { checksum, checksumSmall } from './format/checksum.js'
export { decodeGaps, encodeGaps, type SegmentGap, type SegmentGaps } from './format/gaps-file.js'
export {
  decodeIndex,
  encodeIndex,
  INDEX_ENTRY_NUMBERS,
  type IndexEntries,
  type SegmentIndex,
} from './format/index-file.js'
export * from './format/layout.js'
export { decodePartitionState, encodePartitionState, type PartitionState } from './format/partition-state.js'
export { decodeProducers, encodeProducers, type ProducersFile } from './format/producers-file.js'
export * from './format/record.js'
export { allocateShared, Region, readU64, writeU64 } from './format/region.js'
export { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader } from './format/segment-header.js'
export type { WasmMemory } from './format/wasm.js'
export {
  decodeWatermark,
  decodeWatermarksHeader,
  encodeWatermark,
  encodeWatermarkKey,
  WATERMARK_BYTES,
  WATERMARKS_FILE,
  type Watermark,
  type WatermarksHeader,
  watermarkKey,
  watermarkKeyAt,
  watermarkPlaces,
} from './format/watermarks-file.js'
export * from './limits.js'
export { type CompressStep, compressNext } from './log/compress-next.js'
export { cutPartition } from './log/cut-partition.js'
export { decideRetention, type OpenPlace, removeForgotten } from './log/forget.js'
export {
  type Cleanup,
  DELETE_GRACE_MS_DEFAULT,
  effectiveSegmentMs,
  isKept,
  type KeepingConfig,
  SEGMENT_MS_MAX,
} from './log/keeping.js'
export type { KnownGood } from './log/known-good.js'
export { checkName } from './log/names.js'
export { PartitionLog, type PartitionLogOptions } from './log/partition-log.js'
export {
  checkProducerName,
  loadRegistry,
  type ProducerOpening,
  type ProducerRegistry,
  registerProducers,
} from './log/producer-registry.js'
export { ADMIT, DUPLICATE, FENCED, OUT_OF_SEQUENCE, ProducerTable } from './log/producer-state.js'
export { findReadable, type ReadableOptions, type ReadablePlace } from './log/readable-end.js'
export type { Retention, RetentionPlan } from './log/retention.js'
export { loadState, STATE_FILE, writeState } from './log/state-file.js'
export { type Codec, type Durability, type TopicConfig, type TopicRequest, TopicStore } from './log/topic-store.js'
export { type PartitionView, type TopicView, viewTopic } from './log/view-topic.js'
export { loadWatermarks, openWatermarks } from './log/watermarks.js'
export { ownWords } from './own-words.js'
export { type CompressOutcome, compressSegment } from './segment/compress-segment.js'
export { loadGaps } from './segment/gaps.js'
export type { RecoveryMode } from './segment/recovery.js'
export { type Damage, findSegmentId, type ScanOptions, type ScanResult, scanSegment } from './segment/scan.js'
export { loadIndex, loadSegmentHeader, type RolledSegment, sealSegment } from './segment/seal.js'
export { isCompressed, openSegmentFile } from './segment/segment-file.js'
export { gapsFileName, indexFileName, parseBaseOffset, segmentBases, segmentFileName } from './segment/segment-name.js'
export {
  type GapReason,
  type ReadFill,
  type ReadGap,
  type ReadPosition,
  SegmentReader,
  type SegmentReaderOptions,
} from './segment/segment-reader.js'
export { shown } from './shown.js'
export { BoundedFileSystem } from './storage/bounded-file-system.js'
export { type DirectoryLock, LOCK_FILE, lockDirectory } from './storage/directory-lock.js'
export type { FileSystem, OpenFile } from './storage/file-system.js'
export { isLockHeld } from './storage/lock-holder.js'
export { NodeFileSystem } from './storage/node-file-system.js'
export { fileBytes, publishFile, readWholeFile } from './storage/publish-file.js'
export { type DumpItem, dumpGaps, dumpIndex, dumpSegment } from './verify/dump.js'
export type { Finding, FindingKind } from './verify/findings.js'
export type { RepairMode } from './verify/repair-partition.js'
export { type TopicReport, type VerifyOptions, verifyLog } from './verify/verify-log.js'
export { type PartitionReport, verifyPartition } from './verify/verify-partition.js'
