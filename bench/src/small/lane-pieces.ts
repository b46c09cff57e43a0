import { BATCH_HEADER_BYTES, BATCH_LENGTH_AT, BATCH_MAGIC, BATCH_MAGIC_AT, Region } from '@walrus-log/core'
// Pieces that no package exports: the built files are taken by path.
import { LaneReader } from '../../../packages/actors/dist/lane/lane-reader.js'
import { LaneWriter } from '../../../packages/actors/dist/lane/lane-writer.js'
import { AtomicWords } from '../../../packages/actors/dist/lane/layout.js'
import { RECORD_FRAMING } from '../../../packages/actors/dist/lane/record-lane.js'
import { CODECS, putPrepared } from '../../../packages/actors/dist/log/codec.js'
import { murmur2 } from '../../../packages/actors/dist/log/partitioner.js'
import type { Piece } from './piece.js'

const RING_BYTES = 64 * 1024
const ENTRY_BYTES = 736
const VALUE_BYTES = 100

function lanePieces(): Piece[] {
  const region = new Region(new SharedArrayBuffer(RING_BYTES))
  const words = new Int32Array(new SharedArrayBuffer(1024))
  const place = { ringAt: 0, ringBytes: RING_BYTES, tailAt: 0, headAt: 128 }
  const writer = new LaneWriter(region, new AtomicWords(words), place, RECORD_FRAMING)
  const reader = new LaneReader(region, new AtomicWords(words), place, RECORD_FRAMING)
  return [
    {
      name: 'two atomic stores and loads',
      run(times) {
        let sum = 0
        for (let turn = 0; turn < times; turn++) {
          Atomics.store(words, 64, turn)
          sum ^= Atomics.load(words, 64)
          Atomics.store(words, 192, turn)
          sum ^= Atomics.load(words, 192)
        }
        return sum
      },
    },
    {
      name: 'lane: claim, publish, look, next, release',
      against: 'two atomic stores and loads',
      run(times) {
        let sum = 0
        for (let turn = 0; turn < times; turn++) {
          const at = writer.claim(ENTRY_BYTES)
          region.u32[(at + BATCH_LENGTH_AT) >>> 2] = ENTRY_BYTES
          region.u32[(at + BATCH_MAGIC_AT) >>> 2] = BATCH_MAGIC
          writer.publish(at + ENTRY_BYTES)
          reader.look()
          if (reader.next() !== at) throw new Error('the lane gave another entry')
          reader.release()
          sum ^= at
        }
        return sum
      },
    },
  ]
}

function codecPieces(): Piece[] {
  const region = new Region(new SharedArrayBuffer(RING_BYTES))
  const text = 'the quick brown fox jumps over the lazy dog; '.repeat(3).slice(0, VALUE_BYTES)
  const object = {
    id: 123_456,
    carrier: 'WN',
    origin: 'ABQ',
    destination: 'DAL',
    delay: -3,
    distance: 580.5,
    text: text.slice(0, 24),
  }
  const values = { bytes: new Uint8Array(VALUE_BYTES).fill(7), utf8: text, json: object, msgpack: object }
  return (['bytes', 'utf8', 'json', 'msgpack'] as const).map((name) => {
    const codec = CODECS[name]
    const value = values[name]
    return {
      name: `codec ${name}: put ${codec.encode(value).length} B`,
      against: name === 'bytes' ? undefined : `codec bytes: put ${VALUE_BYTES} B`,
      run(times) {
        let sum = 0
        for (let turn = 0; turn < times; turn++)
          sum += putPrepared(codec.prepare(value), region, BATCH_HEADER_BYTES, RING_BYTES)
        return sum
      },
    }
  })
}

function hashPieces(): Piece[] {
  const key = new Uint8Array(Buffer.from('customer-0123456'))
  return [
    {
      name: `murmur2 of ${key.length} B`,
      run(times) {
        let sum = 0
        for (let turn = 0; turn < times; turn++) {
          key[0] = turn
          sum ^= murmur2(key)
        }
        return sum
      },
    },
  ]
}

export const threadPieces = (): Piece[] => [...lanePieces(), ...codecPieces(), ...hashPieces()]
