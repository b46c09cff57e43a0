import { WalrusError } from '@walrus-log/core'
import { describe, expect, it } from 'vitest'
import { chainNext, emptyContent, isSameContent, recordHash } from '#cluster/ingest/checksum.js'
import { Packer } from '#cluster/ingest/produce/packer.js'
import { Tally } from '#cluster/ingest/tally.js'
import { decodeError, encodeError } from '#cluster/ingest/thread/error-message.js'
import { Sequencer } from '#cluster/ingest/thread/sequencer.js'
import { differences } from '#cluster/ingest/verify/verify.js'

it('a sequencer hands on in order what comes in any', () => {
  const taken: string[] = []
  const sequencer = new Sequencer<string>((value) => taken.push(value))
  for (const sequence of [2, 0, 3]) sequencer.put(sequence, String(sequence))
  expect(taken).toEqual(['0'])
  for (const sequence of [4, 1]) sequencer.put(sequence, String(sequence))
  expect(taken).toEqual(['0', '1', '2', '3', '4'])
})

describe('a tally', () => {
  const content = { records: 1, bytes: 10, sum: 0xffff_ffff }

  it('counts the lines of each file by itself', () => {
    const told: string[] = []
    const tally = new Tally(({ file, line }) => told.push(`${file}:${line}`))
    const reject = { line: 2, reason: 'bad' }
    const there = { records: 0, bytes: 0, sum: 0 }
    const result = { lines: 10, sourceBytes: 100, content, there, rejectsCount: 1, rejects: [reject] }
    tally.add({ ...result, file: 'a', fileIndex: 0 })
    tally.add({ ...result, file: 'a', fileIndex: 0 })
    tally.add({ ...result, file: 'a', fileIndex: 1 })
    expect(told).toEqual(['a:3', 'a:13', 'a:3'])
    expect(tally.position).toEqual({ file: 'a', line: 10, byte: 100 })
    expect(tally).toMatchObject({
      bytesRead: 300,
      rejectsCount: 3,
      content: { records: 3, bytes: 30, sum: 0xffff_fffd },
    })
  })
})

describe('checksums', () => {
  const [one, two] = [Buffer.from('one'), Buffer.from('two')].map((value) => recordHash(value, null))

  it('of content do not ask for the order, and those of a chain do', () => {
    expect(chainNext(chainNext(0, one), two)).not.toBe(chainNext(chainNext(0, two), one))
    expect(isSameContent({ records: 1, bytes: 3, sum: one }, { records: 1, bytes: 3, sum: two })).toBe(false)
  })

  it('see the key, and whether there is one', () => {
    const value = Buffer.from('value')
    const hashes = [null, '', 'key', 'kez'].map((key) => recordHash(value, key))
    expect(new Set(hashes).size).toBe(4)
    expect(recordHash(value, Buffer.from('key'))).toBe(hashes[2])
  })
})

describe('a packer', () => {
  it('gives all records of a key to one stream, in order, with their lines', () => {
    const bytes = Buffer.from('a\nb\n\nc\nd')
    const packer = new Packer(bytes, { partitions: 3, stream: 1 })
    const positions = [0, 2, 5, 7]
    const keys = ['x', 'y', 'x', 'y']
    positions.forEach((position, index) => {
      packer.add({ value: bytes.subarray(position, position + 1), key: keys[index], position })
    })
    const records = packer.build().flatMap(({ stream, values, ends, lines, keys: packKeys }) => {
      return [...ends].map((end, index) => {
        const text = Buffer.from(values.subarray(index === 0 ? 0 : ends[index - 1], end)).toString()
        return { stream, text, line: lines[index], key: packKeys![index] }
      })
    })
    for (const key of ['x', 'y']) {
      const ofKey = records.filter((record) => record.key === key)
      expect(new Set(ofKey.map(({ stream }) => stream)).size).toBe(1)
      expect(ofKey.map(({ text, line }) => `${text}${line}`)).toEqual(key === 'x' ? ['a0', 'c3'] : ['b1', 'd4'])
    }
  })

  it('looks at each byte once, however many records a line has', () => {
    const bytes = new Uint8Array(1000)
    const looked: number[] = []
    const watched = Object.assign(bytes, {
      indexOf(byte: number, from = 0) {
        const at = Uint8Array.prototype.indexOf.call(bytes, byte, from)
        looked.push((at === -1 ? bytes.length : at + 1) - from)
        return at
      },
    })
    const packer = new Packer(watched, { partitions: 3, stream: 1 })
    for (let position = 0; position < 900; position += 10) packer.add({ value: bytes, key: 'x', position })
    expect(looked.reduce((sum, count) => sum + count, 0)).toBe(1000)
  })

  it('gives records without a key to the stream that was named', () => {
    const packer = new Packer(Buffer.from('a'), { partitions: 3, stream: 2 })
    packer.add({ value: Buffer.from('a'), key: undefined, position: 0 })
    expect(packer.build()).toMatchObject([{ stream: 2, keys: undefined }])
  })
})

describe('what differs after reading back', () => {
  const chain = { partition: 0, producerId: 7, stream: 0, records: 2, chain: 99 }
  const content = { records: 2, bytes: 6, sum: 5 }
  const reply = { content, chains: [chain] }
  const found = (replies: (typeof reply)[], sent = [chain], source = content) => {
    return differences({ chainsSent: sent, contentSource: source }, replies)
  }

  it('is nothing where all is well', () => {
    expect(found([reply])).toEqual([])
    expect(found([], [], emptyContent())).toEqual([])
  })

  it.each([
    ['a record missing', [{ content: { records: 1, bytes: 3, sum: 4 }, chains: [{ ...chain, records: 1 }] }], 2],
    ['a partition missing', [], 2],
    ['another content', [{ content: { ...content, sum: 6 }, chains: [chain] }], 1],
    ['another order', [{ content, chains: [{ ...chain, chain: 98 }] }], 1],
    ['records that nobody sent', [{ content, chains: [chain, { ...chain, partition: 1 }] }], 1],
  ])('is told: %s', (_, replies, count) => {
    expect(found(replies)).toHaveLength(count)
  })
})

it('an error keeps its class, code and message from thread to thread', () => {
  const walrusError = decodeError(structuredClone(encodeError(new WalrusError('DISK_FULL', 'no space is left'))))
  expect(walrusError).toBeInstanceOf(WalrusError)
  expect(walrusError).toMatchObject({ code: 'DISK_FULL', message: 'DISK_FULL: no space is left' })
  const systemError = decodeError(structuredClone(encodeError(Object.assign(new Error('gone'), { code: 'EIO' }))))
  expect(systemError).toMatchObject({ code: 'EIO', message: 'gone' })
})
