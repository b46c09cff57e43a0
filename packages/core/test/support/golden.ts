import { fileURLToPath } from 'node:url'
import { type EncodedBatch, encodeBatch } from '#core/format/batch-encoder.js'
import { ensureState, writeState } from '#core/log/state-file.js'
import { OpenSegment } from '#core/segment/open-segment.js'
import { sealSegment } from '#core/segment/seal.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'

/** Where the files lie that every version to come has to read. */
export const GOLDEN_DIRECTORY = fileURLToPath(new URL('../golden/', import.meta.url))
export const GOLDEN_BASE_OFFSET = 1000

const CREATED_MS = 1_700_000_000_000
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** One record with a key; then one with headers and an empty value, and a tombstone that is 5 ms older. */
function batches(): EncodedBatch[] {
  const origin = { producerId: 0x0a0b_0c0d_0e0f, producerEpoch: 1, attributes: 3, timestampMs: CREATED_MS + 10 }
  return [
    encodeBatch([{ key: text('k'), value: text('hello') }], { ...origin, sequenceFirst: 7 }),
    encodeBatch(
      [
        // A msgpack map of one pair, "h" and 1.
        { headers: Uint8Array.of(0x81, 0xa1, 0x68, 0x01), value: new Uint8Array() },
        { key: text('k'), value: null, timestamp: CREATED_MS + 5 },
      ],
      { ...origin, sequenceFirst: 8 },
    ),
  ]
}

/** Writes the golden segment, its index and a partition's state into `directory`; the same bytes each time. */
export function makeGolden(directory: string): void {
  const fs = new NodeFileSystem()
  const header = {
    segmentId: 0x1122_3344,
    baseOffset: GOLDEN_BASE_OFFSET,
    leaseEpoch: 3,
    createdMs: CREATED_MS,
    acknowledgedOffset: GOLDEN_BASE_OFFSET,
    partition: 2,
  }
  const segment = OpenSegment.create(fs, directory, header, 4096)
  for (const { region, length } of batches()) {
    // Each is acknowledged before the next is stamped.
    segment.stage(region, 0, segment.offsetStaged, header.leaseEpoch)
    segment.writeStaged([region.u8.subarray(0, length)])
  }
  const rolled = segment.rolled(CREATED_MS + 60_000)
  segment.abandon()
  sealSegment(fs, directory, rolled, CREATED_MS + 60_000)
  ensureState(fs, directory)
  writeState(fs, directory, { offsetFirst: 1000 })
  writeState(fs, directory, { offsetFirst: 1002 })
}
