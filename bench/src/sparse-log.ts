import { join } from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { encodeBatch, type FileSystem, NodeFileSystem, type OpenFile, PartitionLog } from '@walrus-log/core'
import { ForwardingFile } from './forwarding-file.js'

/** One record a segment: its zeros are holes of the file. */
const VALUE_BYTES = 63 * 1024 * 1024
export const SPARSE_SEGMENT_BYTES = 64 * 1024 * 1024
/** What is written of a view's beginning and end; what is between them is zeros. */
const EDGE_BYTES = 4096
const TOPIC = 'sparse'

/**
 * Makes a log of so many sealed segments, with a tail of a few records behind them, which takes next to no space: the
 * engine writes it through a file system that leaves zeros out.
 */
export async function makeSparseLog(directory: string, segments: number): Promise<void> {
  await openSparse(directory, async () => {})
  const log = PartitionLog.open({
    fs: new SparseFileSystem(),
    directory: join(directory, 'default', TOPIC, '0'),
    partition: 0,
    segmentBytes: SPARSE_SEGMENT_BYTES,
    segmentEntries: 1_000_000,
    recovery: 'strict',
    now: Date.now,
  })
  const origin = { producerId: 1, producerEpoch: 0, sequenceFirst: 0, timestampMs: Date.now() }
  const { region } = encodeBatch([{ value: new Uint8Array(VALUE_BYTES) }], origin)
  for (let segment = 0; segment < segments; segment++) log.appendBatch(region, 0)
  log.roll()
  for (let index = 0; index < 100; index++) {
    const small = encodeBatch([{ value: new Uint8Array(700).fill(index) }], {
      ...origin,
      sequenceFirst: segments + index,
    })
    log.appendBatch(small.region, 0)
  }
  log.sync()
  log.close()
}

/** Opens the log with its topic, lets `use` work, and closes it. */
export async function openSparse<Result>(directory: string, use: () => Promise<Result>): Promise<Result> {
  const walrus = await Walrus.open(directory, { durability: 'os', writerThreadsMax: 1 })
  try {
    await walrus.topic(TOPIC, { segmentBytes: SPARSE_SEGMENT_BYTES })
    return await use()
  } finally {
    await walrus.close()
  }
}

class SparseFileSystem extends NodeFileSystem implements FileSystem {
  override open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    return new SparseFile(super.open(file, mode))
  }
}

/** The engine gives a file its size before it writes: what is left out reads as zeros. */
class SparseFile extends ForwardingFile {
  override write(source: Uint8Array, offset: number, length: number, position: number): void {
    if (length <= 2 * EDGE_BYTES) return super.write(source, offset, length, position)
    super.write(source, offset, EDGE_BYTES, position)
    const skipped = length - EDGE_BYTES
    super.write(source, offset + skipped, EDGE_BYTES, position + skipped)
  }

  override writeMany(views: Uint8Array[], position: number): void {
    let at = position
    for (const view of views) {
      this.write(view, 0, view.length, at)
      at += view.length
    }
  }
}
