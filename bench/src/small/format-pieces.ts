import {
  BATCH_HEADER_BYTES,
  type BatchProperties,
  checksum,
  checksumSmall,
  closeBatch,
  emptyRecordParts,
  padRecord,
  Region,
  readRecord,
  recordBytes,
  stampBatch,
  writeRecordHeader,
} from '@walrus-log/core'
import type { Piece } from './piece.js'

const REGION_BYTES = 1024 * 1024
const KIB_64 = 64 * 1024
const STAMP_BYTES = 36
const VALUE_BYTES = 100

const region = Region.allocate(REGION_BYTES)
const source = new Uint8Array(KIB_64).map((_, index) => index * 31)
region.u8.set(source)

/** The checksum of so many bytes, against copying them. */
function checksumPieces(): Piece[] {
  const pieces: Piece[] = []
  for (const [label, bytes] of [
    ['100 B', 100],
    ['1 KiB', 1024],
    ['64 KiB', KIB_64],
  ] as const) {
    const view = source.subarray(0, bytes)
    pieces.push(
      {
        name: `copy ${label} with set`,
        run(times) {
          for (let turn = 0; turn < times; turn++) region.u8.set(view, 0)
          return region.u8[0]
        },
      },
      {
        name: `crc32 of ${label}`,
        against: `copy ${label} with set`,
        run(times) {
          let sum = 0
          for (let turn = 0; turn < times; turn++) sum ^= checksum(region, 0, bytes)
          return sum
        },
      },
    )
  }
  pieces.push(
    {
      name: `crc32 of ${STAMP_BYTES} B`,
      run(times) {
        let sum = 0
        for (let turn = 0; turn < times; turn++) sum ^= checksum(region, 0, STAMP_BYTES)
        return sum
      },
    },
    {
      name: `checksumSmall of ${STAMP_BYTES} B`,
      against: `crc32 of ${STAMP_BYTES} B`,
      run(times) {
        let sum = 0
        for (let turn = 0; turn < times; turn++) sum ^= checksumSmall(region, 0, STAMP_BYTES)
        return sum
      },
    },
  )
  return pieces
}

/** A byte loop against the call: where one overtakes the other is `copyBytes`' limit. */
function copyPieces(): Piece[] {
  return [8, 16, 32, 64, 128].flatMap((bytes) => {
    const view = source.subarray(0, bytes)
    const { u8 } = region
    return [
      {
        name: `set ${bytes} B`,
        run(times: number) {
          for (let turn = 0; turn < times; turn++) u8.set(view, (turn & 63) * 8)
          return u8[0]
        },
      },
      {
        name: `loop ${bytes} B`,
        against: `set ${bytes} B`,
        run(times: number) {
          for (let turn = 0; turn < times; turn++) {
            const at = (turn & 63) * 8
            for (let index = 0; index < view.length; index++) u8[at + index] = view[index]
          }
          return u8[0]
        },
      },
    ]
  })
}

function batchPieces(): Piece[] {
  const properties: BatchProperties = {
    recordCount: 90,
    attributes: 0,
    timestampFirst: 1_700_000_000_000,
    timestampMax: 1_700_000_000_000,
    producerId: 2 ** 40 + 1,
    producerEpoch: 0,
    sequenceFirst: 0,
  }
  const stamp = { baseOffset: 0, acknowledgedOffset: 0, leaseEpoch: 1, segmentId: 7 }
  return [
    {
      name: 'close a batch of 64 KiB',
      against: 'crc32 of 64 KiB',
      run(times) {
        for (let turn = 0; turn < times; turn++) {
          properties.sequenceFirst += 90
          closeBatch(region, 0, KIB_64, properties)
        }
        return region.u32[8]
      },
    },
    {
      name: 'stamp a batch',
      against: `checksumSmall of ${STAMP_BYTES} B`,
      run(times) {
        for (let turn = 0; turn < times; turn++) {
          stamp.baseOffset += 90
          stampBatch(region, 0, stamp)
        }
        return region.u32[9]
      },
    },
  ]
}

function recordPieces(): Piece[] {
  const value = source.subarray(0, VALUE_BYTES)
  const bytes = recordBytes(VALUE_BYTES, 0, 0)
  const end = BATCH_HEADER_BYTES + 512 * bytes
  const parts = emptyRecordParts()
  return [
    {
      name: 'encode a record of 100 B',
      against: 'copy 100 B with set',
      run(times) {
        for (let turn = 0; turn < times; turn++) {
          const at = BATCH_HEADER_BYTES + (turn & 511) * bytes
          const valueAt = writeRecordHeader(region, at, VALUE_BYTES, -1, -1, 0)
          region.u8.set(value, valueAt)
          padRecord(region, valueAt + VALUE_BYTES, at + bytes)
        }
        return region.u8[0]
      },
    },
    {
      name: 'decode a record of 100 B',
      against: 'encode a record of 100 B',
      run(times) {
        let sum = 0
        // What is decoded is there, whichever piece ran before.
        for (let at = BATCH_HEADER_BYTES; at < end; at += bytes) writeRecordHeader(region, at, VALUE_BYTES, -1, -1, 0)
        for (let turn = 0; turn < times; turn++) {
          if (!readRecord(region, BATCH_HEADER_BYTES + (turn & 511) * bytes, end, parts))
            throw new Error('no record there')
          sum += parts.valueLength
        }
        return sum
      },
    },
  ]
}

export const formatPieces = (): Piece[] => [...checksumPieces(), ...copyPieces(), ...batchPieces(), ...recordPieces()]
