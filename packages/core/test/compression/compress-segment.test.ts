import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Compression } from '#core/compression/codec.js'
import { CompressedFile } from '#core/compression/compressed-file.js'
import { batchLength } from '#core/format/batch.js'
import { Region } from '#core/format/region.js'
import { BLOCK_BYTES_MAX } from '#core/limits.js'
import { compressSegment, inflateSegment } from '#core/segment/compress-segment.js'
import { loadIndex } from '#core/segment/seal.js'
import { indexFileName, segmentBases, segmentFileName } from '#core/segment/segment-name.js'
import { SegmentReader } from '#core/segment/segment-reader.js'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { compressAll, compressedBases } from '../support/compressed.js'
import { DamagedFile } from '../support/damage.js'
import { append, appendSynced, openPartition, readRecords, refusal, reopenedValues } from '../support/partition.js'
import { below, randomOf } from '../support/random.js'
import { SimulatedDisk } from '../support/simulated-disk.js'
import { temporaryDirectory } from '../support/temporary.js'

const nodeFs = new NodeFileSystem()
const text = (n: number, bytes = 200): string => `${n}:${'{"origin":"SFO","delay":12}'.repeat(Math.ceil(bytes / 26))}`

/** Segments of two records each, all but the last one sealed. */
function logOf(count: number, bytes?: number): { directory: string; values: string[]; name: string } {
  const directory = temporaryDirectory()
  const values = Array.from({ length: count }, (_, n) => text(n, bytes))
  const log = openPartition(directory, { segmentEntries: 2 })
  for (const value of values) appendSynced(log, value)
  log.close()
  return { directory, values, name: path.join(directory, segmentFileName(0)) }
}

describe.each<Compression>(['lz4', 'zstd'])('a segment compressed by %s', (compression) => {
  it('reads byte for byte as the raw one, from any position and in any length, and is smaller', () => {
    const directory = temporaryDirectory()
    const log = openPartition(directory, { segmentBytes: 64 * 1024 * 1024, segmentEntries: 12 })
    // Small batches, one that nearly fills a block, and one of several blocks.
    for (const bytes of [10, 5000, 100_000, 20_000, BLOCK_BYTES_MAX - 300, 3 * BLOCK_BYTES_MAX, 50]) {
      append(log, text(1, bytes), text(2, 30))
    }
    log.close()
    const name = path.join(directory, segmentFileName(0))
    const raw = fs.readFileSync(name)
    expect(compressSegment(nodeFs, directory, 0, compression)).toBe('compressed')
    expect(fs.statSync(name).size).toBeLessThan(raw.length / 3)
    const inner = nodeFs.open(name, 'read')
    const file = CompressedFile.open(inner, name)!
    expect([file.size(), file.compression, file.damagedParts(name)]).toEqual([raw.length, compression, []])
    const random = randomOf(7)
    const target = new Uint8Array(raw.length + 100)
    for (let n = 0; n < 300; n++) {
      const position = n === 0 ? 0 : below(random, raw.length + 50)
      const length = n === 0 ? raw.length + 50 : below(random, n % 3 === 0 ? raw.length : 3000)
      target.fill(1)
      const bytes = file.read(target, 3, length, position)
      const expected = raw.subarray(position, position + length)
      expect(bytes).toBe(expected.length)
      expect(Buffer.compare(target.subarray(3, 3 + bytes), expected)).toBe(0)
      expect([target[2], target[3 + bytes]]).toEqual([1, 1])
    }
    file.close()
    inflateSegment(nodeFs, directory, 0)
    expect(Buffer.compare(fs.readFileSync(name), raw)).toBe(0)
  })

  it('is opened, read and appended behind as before, and the same again', () => {
    const { directory, values } = logOf(7)
    expect(compressAll(directory, { compression })).toBe(3)
    for (let times = 0; times < 2; times++) expect(reopenedValues(directory)).toEqual(values)
    const log = openPartition(directory)
    append(log, 'more')
    log.close()
    expect(reopenedValues(directory)).toEqual([...values, 'more'])
    expect(compressedBases(directory)).toEqual([0, 2, 4])
    expect(compressAll(directory, { compression })).toBe(0)
  })
})

describe('compressing', () => {
  it('leaves alone what is not sealed, and what something is given up of', () => {
    const { directory } = logOf(5)
    const open = fs.readFileSync(path.join(directory, segmentFileName(4)))
    expect(compressSegment(nodeFs, directory, 4, 'zstd')).toBe('unfit')
    expect(fs.readFileSync(path.join(directory, segmentFileName(4)))).toEqual(open)
    new DamagedFile(path.join(directory, segmentFileName(0))).flipByte(120)
    fs.rmSync(path.join(directory, indexFileName(0)))
    openPartition(directory, { recovery: 'skip' }).close()
    expect(compressSegment(nodeFs, directory, 0, 'zstd')).toBe('unfit')
  })

  it('does without the zeros that a lost truncation left behind the data, and refuses anything else there', () => {
    const { directory, values, name } = logOf(5)
    fs.truncateSync(name, fs.statSync(name).size + 5000)
    fs.appendFileSync(name, 'x')
    refusal('SEGMENT_CORRUPT', () => compressSegment(nodeFs, directory, 0, 'zstd'))
    fs.truncateSync(name, fs.statSync(name).size - 1)
    expect(compressSegment(nodeFs, directory, 0, 'zstd')).toBe('compressed')
    expect(reopenedValues(directory)).toEqual(values)
  })

  it('keeps bytes that do not get smaller as they are', () => {
    const directory = temporaryDirectory()
    const random = randomOf(3)
    const noise = String.fromCharCode(...Array.from({ length: 3000 }, () => 33 + below(random, 90)))
    const log = openPartition(directory, { segmentEntries: 1 })
    for (const value of ['', noise]) append(log, value)
    log.close()
    compressAll(directory)
    expect(reopenedValues(directory)).toEqual(['', noise])
  })

  it('lets who has the raw file open read on in it, and who comes from there go on in the compressed one', () => {
    const { directory, values } = logOf(9, 3000)
    const reader = new SegmentReader(nodeFs, directory)
    const region = Region.allocate(4096)
    const first = reader.fill(reader.locate(0), region, 9, true)
    expect(first.bytes).toBe(batchLength(region, 0))
    compressAll(directory)
    const second = reader.fill(first.next, region, 9, true)
    expect(second.next.offset).toBe(2)
    reader.close()
    const other = new SegmentReader(nodeFs, directory)
    expect(other.fill(first.next, region, 9, true).next).toEqual(second.next)
    other.close()
    expect(readRecords(directory, 0, 9).map(({ value }) => value)).toEqual(values)
  })

  it('refuses a source that has rotted before it is read, and one that rots while it is compressed: the raw file stays', () => {
    const { directory, name } = logOf(4)
    const file = new DamagedFile(name)
    for (let at = 0; at < file.length; at += 7) {
      file.flipByte(at)
      refusal('SEGMENT_CORRUPT', () => compressSegment(nodeFs, directory, 0, 'zstd'))
      expect(fs.readdirSync(directory).filter((entry) => entry.endsWith('.tmp'))).toEqual([])
    }
    file.restore()
    // At each look at the source, from that one on.
    for (let reads = 1; ; reads++) {
      let left = reads
      const rotting = new (class extends NodeFileSystem {
        override open(name: string, mode: 'read' | 'write' | 'create') {
          const inner = super.open(name, mode)
          if (!name.endsWith('.log')) return inner
          const read = inner.read.bind(inner)
          inner.read = (target, offset, length, position) => {
            const bytes = read(target, offset, length, position)
            if (--left <= 0 && position <= 150 && position + bytes > 150) target[offset + 150 - position] ^= 4
            return bytes
          }
          return inner
        }
      })()
      if (left > 0 && reads > 8) break
      let outcome: string
      try {
        outcome = compressSegment(rotting, directory, 0, 'zstd')
      } catch (error) {
        outcome = (error as Error).message.slice(0, 15)
      }
      if (left > 0) {
        expect(outcome).toBe('compressed')
        break
      }
      expect(outcome, `from read ${reads} on`).toBe('SEGMENT_CORRUPT')
      expect(fs.readFileSync(name)).toEqual(file.original)
    }
  })

  it('stops when it is told to, and leaves nothing behind', () => {
    const { directory, name } = logOf(4)
    const raw = fs.readFileSync(name)
    const names = fs.readdirSync(directory)
    for (let calls = 0; calls < 2; calls++) {
      let left = calls
      expect(compressSegment(nodeFs, directory, 0, 'zstd', () => left-- <= 0)).toBe('stopped')
      expect([fs.readFileSync(name), fs.readdirSync(directory)]).toEqual([raw, names])
    }
  })
})

describe('a crash or a failure', () => {
  const DIRECTORY = '/disk/topic/0'
  const values = Array.from({ length: 6 }, (_, n) => text(n, 900))

  function diskOf(seed: number): SimulatedDisk {
    const disk = new SimulatedDisk(randomOf(seed))
    disk.calmly(() => {
      const log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 3 })
      for (const value of values) appendSynced(log, value)
      log.close()
      openPartition(DIRECTORY, { fs: disk }).close()
    })
    return disk
  }

  /** Opens twice, strictly: the same is there, and nothing is left over. */
  function check(disk: SimulatedDisk): boolean {
    return disk.calmly(() => {
      const outcomes = [0, 1].map(() => {
        const log = openPartition(DIRECTORY, { fs: disk })
        const read = readRecords(DIRECTORY, 0, log.offsetNext, { fs: disk }).map(({ value }) => value)
        log.close()
        expect(read).toEqual(values)
        expect(disk.list(DIRECTORY).filter((name) => name.endsWith('.tmp'))).toEqual([])
        return compressedBases(DIRECTORY, disk).length
      })
      expect(outcomes[1]).toBe(outcomes[0])
      return outcomes[0] === 1
    })
  }

  it.each([false, true])(
    'at any call leaves the raw file or the compressed one, whole (power lost: %s)',
    (isPowerLost) => {
      const seen = new Set<boolean>()
      const dieAt = (call: number, seed: number): boolean => {
        const disk = diskOf(call)
        disk.calls = 0
        disk.dieAt = call
        try {
          compressSegment(disk, DIRECTORY, 0, 'lz4')
          return false
        } catch {}
        // What the loss of power leaves of a name that was not synced is the seed's choice.
        if (isPowerLost) disk.losePower(randomOf(seed))
        else disk.restart()
        seen.add(check(disk))
        return true
      }
      for (let call = 1; dieAt(call, 0); call++) for (let seed = 1; seed < 8; seed++) dieAt(call, seed)
      expect([...seen].sort()).toEqual([false, true])
    },
  )

  it.each(['error', 'short write', 'disk full'] as const)('by one %s at any call does as well', (fault) => {
    let placed = 0
    for (let call = 1; call < 80; call++) {
      const disk = diskOf(call)
      disk.calls = 0
      disk.planned = { call, fault }
      let hasFailed = false
      try {
        compressSegment(disk, DIRECTORY, 0, 'lz4')
      } catch {
        hasFailed = true
      }
      if (!disk.wasPlaced) continue
      placed++
      check(disk)
      // What failed can be done again at once.
      if (hasFailed) disk.calmly(() => compressSegment(disk, DIRECTORY, 0, 'lz4'))
      expect(check(disk)).toBe(true)
    }
    expect(placed).toBeGreaterThanOrEqual(fault === 'error' ? 20 : 3)
  })

  it('needs room beside the raw file, and without it changes nothing', () => {
    const disk = diskOf(1)
    disk.bytesFree = 0
    expect(() => compressSegment(disk, DIRECTORY, 0, 'lz4')).toThrow('ENOSPC')
    disk.bytesFree = Number.POSITIVE_INFINITY
    expect(check(disk)).toBe(false)
    expect(segmentBases(disk.list(DIRECTORY))).toEqual([0, 3])
    expect(loadIndex(disk, DIRECTORY, 0)?.recordCount).toBe(3)
    expect(disk.exists(path.join(DIRECTORY, indexFileName(0)))).toBe(true)
  })
})
