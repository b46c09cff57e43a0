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
  isWalrusError,
  systemErrorCode,
  WalrusError,
  type WalrusErrorCode,
  type WalrusErrorDetails,
} from './errors.js'
export * from './format/batch.js'
export { type BatchOrigin, type EncodedBatch, encodeBatch, encodeBatchInto } from './format/batch-encoder.js'
export { checksum, checksumSmall } from './format/checksum.js'
export { decodeIndex, encodeIndex, type IndexEntries, type SegmentIndex } from './format/index-file.js'
export * from './format/layout.js'
export * from './format/record.js'
export { allocateShared, Region, readU64, writeU64 } from './format/region.js'
export { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader } from './format/segment-header.js'
export type { WasmMemory } from './format/wasm.js'
export * from './limits.js'
export { cutPartition } from './log/cut-partition.js'
export type { KnownGood } from './log/known-good.js'
export { checkName } from './log/names.js'
export { PartitionLog, type PartitionLogOptions } from './log/partition-log.js'
export { type Codec, type Durability, type TopicConfig, type TopicRequest, TopicStore } from './log/topic-store.js'
export type { RecoveryMode } from './segment/recovery.js'
export { type Damage, type ScanOptions, type ScanResult, scanSegment } from './segment/scan.js'
export { loadIndex, type RolledSegment, readSegmentHeader, sealSegment } from './segment/seal.js'
export { indexFileName, segmentBases, segmentFileName } from './segment/segment-name.js'
export { type ReadFill, type ReadPosition, SegmentReader } from './segment/segment-reader.js'
export { type DirectoryLock, lockDirectory } from './storage/directory-lock.js'
export type { FileSystem, OpenFile } from './storage/file-system.js'
export { NodeFileSystem } from './storage/node-file-system.js'
