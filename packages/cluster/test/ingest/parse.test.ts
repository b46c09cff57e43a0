import { describe, expect, it } from 'vitest'
import { keyOf } from '#cluster/ingest/parse/key.js'
import { ChunkRejects, oneLine, REJECTS_DESCRIBED_MAX } from '#cluster/ingest/parse/rejects.js'
import { cutAndParse } from '../support/cutting.js'

function bytes(...parts: (string | number[])[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))))
}

const notUtf8 = [0xc3, 0x28]

describe('a line that cannot be taken', () => {
  it('is rejected with its number and a reason, and the rest is taken', () => {
    const source = bytes('{"a":1}\n{"a":\n\n"', notUtf8, '"\n2\nnull\n')
    for (const reads of [[1], [3, 1000], [1000]]) {
      const { values, rejects } = cutAndParse(source, { format: 'ndjson', reads })
      expect(values).toEqual(['{"a":1}', '2', 'null'])
      expect(rejects).toEqual([
        { line: 2, reason: expect.stringMatching(/^not JSON: /) },
        { line: 4, reason: 'not valid UTF-8' },
      ])
    }
  })

  it('may be plain text that is no UTF-8', () => {
    const { values, rejects } = cutAndParse(bytes('é\n', notUtf8, '\nok'), { format: 'lines', chunkBytes: 1000 })
    expect(values).toEqual(['é', 'ok'])
    expect(rejects).toEqual([{ line: 2, reason: 'not valid UTF-8' }])
  })
})

describe('a CSV row that cannot be taken', () => {
  it('is rejected with its number and a reason, and the rest is taken', () => {
    const source = bytes('a,b\n1,2\n3\n4,"x"y\n5,x"y"\n', '6,', notUtf8, '\n7,"8\n9"\n10,11,12\n13,14\n15,"open\n16,17')
    for (const chunkBytes of [8, 1000]) {
      const { values, rejects } = cutAndParse(source, { format: 'csv', chunkBytes })
      expect(values).toEqual(['{"a":"1","b":"2"}', '{"a":"7","b":"8\\n9"}', '{"a":"13","b":"14"}'])
      expect(rejects).toEqual([
        { line: 3, reason: '1 column, the header has 2' },
        { line: 4, reason: 'text behind the closing quote of a field' },
        { line: 5, reason: 'a quote within a field that is not quoted' },
        { line: 6, reason: 'not valid UTF-8' },
        { line: 9, reason: '3 columns, the header has 2' },
        { line: 11, reason: 'a quoted field is not closed' },
      ])
    }
  })

  it('costs the rows beside it nothing, in a chunk of thousands', () => {
    const rows = Array.from({ length: 5000 }, (_, index) => (index % 1000 === 7 ? `${index}` : `${index},x`))
    const { values, rejects } = cutAndParse(`a,b\n${rows.join('\n')}\n`, { format: 'csv', chunkBytes: 1 << 20 })
    expect(values).toHaveLength(4995)
    expect(rejects.map(({ line }) => line)).toEqual([9, 1009, 2009, 3009, 4009])
  })
})

describe('a CSV header', () => {
  it.each([
    ['a,a\n1,2', 'two columns are named "a"'],
    ['a,"b\n1,2', 'a quoted field is not closed'],
  ])('%j cannot be used', (source, reason) => {
    expect(() => cutAndParse(source, { format: 'csv' })).toThrow(reason)
  })

  it('must have the column that is the key', () => {
    expect(() => cutAndParse('a,b\n1,2', { format: 'csv', keyField: 'c' })).toThrow('no column "c"')
    expect(cutAndParse('a,b\n1,2', { format: 'csv', keyField: 'b' }).keys).toEqual(['2'])
  })

  it('may follow blank lines', () => {
    const { values, position } = cutAndParse('\n\r\na\n1\n', { format: 'csv', chunkBytes: 1000 })
    expect(values).toEqual(['{"a":"1"}'])
    expect(position.line).toBe(4)
  })
})

describe('a key', () => {
  it('is text, or a number or boolean as JSON writes it', () => {
    const source = '{"k":"x"}\n{"k":""}\n{"k":1.50}\n{"k":true}\n'
    expect(cutAndParse(source, { format: 'ndjson', keyField: 'k' }).keys).toEqual(['x', '', '1.5', 'true'])
  })

  it.each([{}, { k: null }, { k: {} }, { k: [] }, [1], 'text', 7, null])('is not to be had from %j', (value) => {
    expect(keyOf(value, 'k').reason).toContain('"k"')
  })

  it('is no inherited property', () => {
    expect(keyOf({}, 'toString').reason).toContain('no field')
  })
})

describe('rejects', () => {
  it('are all counted, and the first ones described', () => {
    const rejects = new ChunkRejects()
    for (let line = 0; line < 100; line++) rejects.add(Buffer.from('\n'.repeat(line)), line, 'bad')
    expect(rejects.count).toBe(100)
    expect(rejects.described).toHaveLength(REJECTS_DESCRIBED_MAX)
    expect(rejects.described[5]).toEqual({ line: 5, reason: 'bad' })
  })

  it('are described in one line without control characters', () => {
    expect(oneLine('a\nb\x1b[2J\x7f\x9b')).toBe('a\\u000ab\\u001b[2J\\u007f\\u009b')
    expect(oneLine('x'.repeat(1000))).toHaveLength(200)
  })
})
