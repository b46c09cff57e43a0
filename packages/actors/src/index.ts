export {
  type BackupProgress,
  type BackupReport,
  type Cleanup,
  type Codec,
  type Durability,
  type GapReason,
  isWalrusError,
  type RecoveryMode,
  type Retention,
  type TopicConfig,
  WalrusError,
  type WalrusErrorCode,
} from '@walrus-log/core'
export type { WriterEvent } from './actor/supervised-writer.js'
export type { ConsumeFrom, CursorEvent, GroupPartitionStats, GroupStats } from './group/messages.js'
export type { BackupOptions } from './log/backup.js'
export type { Batch, LogRecord } from './log/batch.js'
export type { Consumer } from './log/consumer.js'
export type { Gap } from './log/gap.js'
export type { PartitionStats, TopicStats, TrimmedPartition } from './log/log-client.js'
export type {
  ConsumeLimits,
  ConsumerOptions,
  OpenOptions,
  ProducerOptions,
  ReadOptions,
  RecordOptions,
  SeekOptions,
  TopicOptions,
  TrimOptions,
  WalrusEvent,
} from './log/options.js'
export { partitionOfKey } from './log/partitioner.js'
export type { Ack, Producer } from './log/producer.js'
export type { PublishedStats, PublishedWriter } from './log/published-stats.js'
export type { ScanOptions } from './log/scan.js'
export type { LatencyStats, WalrusStats, WriterStats } from './log/stats.js'
export type { Topic } from './log/topic.js'
export { Walrus, type WalrusHandle } from './log/walrus.js'
export type { ScanInfo, ScanMap } from './reader-pool/scan-task.js'
