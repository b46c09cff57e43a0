import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { codecOf } from '#core/compression/codec.js'
import { CompressedFile } from '#core/compression/compressed-file.js'
import { compressSegment } from '#core/segment/compress-segment.js'
import { segmentFileName } from '#core/segment/segment-name.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { GOLDEN_BASE_OFFSET, GOLDEN_DIRECTORY, makeGolden } from '../support/golden.js'

// The golden segment, compressed: see golden.test.ts. What a compressor makes of the same bytes may change with its
// version; that these files are read must not.
const DIRECTORY = fileURLToPath(new URL('../golden-compressed/', import.meta.url))
const CODECS = { lz4: 1, zstd: 2 } as const

if (process.env['WALRUS_MAKE_GOLDEN']) {
  for (const name of ['lz4', 'zstd'] as const) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'walrus-core-'))
    makeGolden(directory)
    compressSegment(new NodeFileSystem(), directory, GOLDEN_BASE_OFFSET, name)
    fs.copyFileSync(path.join(directory, segmentFileName(GOLDEN_BASE_OFFSET)), path.join(DIRECTORY, `${name}.log`))
  }
}

const raw = fs.readFileSync(path.join(GOLDEN_DIRECTORY, segmentFileName(GOLDEN_BASE_OFFSET)))

describe.each(['lz4', 'zstd'] as const)('the golden segment compressed by %s', (name) => {
  const file = path.join(DIRECTORY, `${name}.log`)
  const bytes = fs.readFileSync(file)

  it('holds, read by hand after the specification, the raw one, and not a byte more', () => {
    // Segment header: the raw one's but for the version and its check.
    const header = Buffer.from(raw.subarray(0, 64))
    header.writeUInt32LE(2, 4)
    header.writeUInt32LE(crc32(header.subarray(0, 60)), 60)
    expect(bytes.subarray(0, 64)).toEqual(header)
    // Compression header.
    const word = (at: number) => bytes.readUInt32LE(at)
    expect(bytes.toString('latin1', 64, 68)).toBe('WLCZ')
    expect([word(68), word(72), word(76)]).toEqual([CODECS[name], 1, crc32(bytes.subarray(128, 144))])
    expect([bytes.readBigUInt64LE(80), bytes.readBigUInt64LE(88)]).toEqual([BigInt(raw.length), BigInt(bytes.length)])
    expect(bytes.subarray(96, 124).every((byte) => byte === 0)).toBe(true)
    expect(word(124)).toBe(crc32(bytes.subarray(64, 124)))
    // Block table: one block, which is all of the batches.
    const stored = bytes.subarray(144, 144 + word(132))
    expect([word(128), word(136), word(140)]).toEqual([raw.length - 64, crc32(stored), 1])
    const block = new Uint8Array(raw.length - 64)
    expect(codecOf(CODECS[name])!.codec.decompress(stored, block)).toBe(true)
    expect(Buffer.compare(block, raw.subarray(64))).toBe(0)
    // The same once more, the other way round.
    const behind = [bytes.subarray(128, 144), bytes.subarray(64, 128), bytes.subarray(0, 64)]
    expect(bytes.subarray(144 + stored.length)).toEqual(Buffer.concat(behind))
  })

  it('holds the same for our own reader', () => {
    const opened = CompressedFile.open(new NodeFileSystem().open(file, 'read'), file)!
    const found = Buffer.alloc(raw.length)
    expect([opened.size(), opened.read(found, 0, raw.length, 0), opened.damagedParts(file)]).toEqual([
      raw.length,
      raw.length,
      [],
    ])
    expect(found).toEqual(raw)
    opened.close()
  })
})
