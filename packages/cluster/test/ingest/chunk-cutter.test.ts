import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { type CutOptions, cutAndParse } from '../support/cutting.js'

/** The same source, read in two pieces that meet at every position, and byte by byte. */
function everyCut(source: Uint8Array | string, options: CutOptions) {
  const length = Buffer.from(source as Uint8Array).length
  const outcomes = Array.from({ length: length + 1 }, (_, position) => {
    return cutAndParse(source, { ...options, reads: [Math.max(position, 1), length] })
  })
  return [...outcomes, cutAndParse(source, { ...options, reads: [1] })]
}

const ndjson = '{"a":1}\n{"b":"é😀"}\r\n\n  [3]  \n"4"\n\r\n5'
const ndjsonValues = ['{"a":1}', '{"b":"é😀"}', '[3]', '"4"', '5']

describe('lines', () => {
  it.each([1, 2, 7, 8, 64])('are whole wherever the reads meet, with buffers of %d bytes', (chunkBytes) => {
    for (const isHungry of [false, true]) {
      for (const outcome of everyCut(ndjson, { format: 'ndjson', chunkBytes, isHungry })) {
        expect(outcome.values).toEqual(ndjsonValues)
        expect(outcome.rejects).toEqual([])
        expect(outcome.position).toEqual({ line: 7, byte: Buffer.byteLength(ndjson) })
      }
    }
  })

  it('need no newline at the end, and get none', () => {
    expect(cutAndParse('one\ntwo', { format: 'lines' }).values).toEqual(['one', 'two'])
    expect(cutAndParse('one\ntwo\n', { format: 'lines' }).values).toEqual(['one', 'two'])
    expect(cutAndParse('', { format: 'lines' }).values).toEqual([])
  })

  it('stay together at the end, whether or not a newline ends the last one', () => {
    for (const end of ['', '\n']) {
      const { chunksCount, position } = cutAndParse(`one\ntwo\nthree${end}`, { format: 'lines', chunkBytes: 64 })
      expect([chunksCount, position.line]).toEqual([1, 3])
    }
    const { chunksCount, values } = cutAndParse('{"a":1}\n{"a":2} {"a":3', { format: 'json', chunkBytes: 64 })
    expect([chunksCount, values]).toEqual([1, ['{"a":1}', '{"a":2}']])
  })

  it('lose the carriage return of CRLF and nothing else; empty ones are nothing', () => {
    const { values } = cutAndParse('one\r\n\r\n two \n\n\rthree\r\r\n', { format: 'lines' })
    expect(values).toEqual(['one', ' two ', '\rthree\r'])
  })

  it('go on behind one that is over the limit, which is rejected with its line', () => {
    const long = 'x'.repeat(1000)
    for (const source of [`a\n\n${long}\nb\n${long}`, `a\n\n${long}\r\nb\n${long}\n`]) {
      for (const outcome of everyCut(source, { format: 'lines', chunkBytes: 16, recordBytesMax: 100 })) {
        expect(outcome.values).toEqual(['a', 'b'])
        expect(outcome.rejects.map(({ line }) => line)).toEqual([3, 5])
        expect(outcome.rejects[0].reason).toContain('not ended within 100 bytes')
        expect(outcome.position.byte).toBe(source.length)
      }
    }
  })

  it('up to the limit pass, however small the buffer was', () => {
    const long = 'x'.repeat(100)
    const { values, rejects } = cutAndParse(`${long}\n${long}`, { format: 'lines', recordBytesMax: 100, reads: [3] })
    expect(values).toEqual([long, long])
    expect(rejects).toEqual([])
  })
})

describe('the beginning of a source', () => {
  it('may be a byte order mark', () => {
    const source = `\ufeff${ndjson}`
    for (const outcome of everyCut(source, { format: 'ndjson', isHungry: true })) {
      expect(outcome.values).toEqual(ndjsonValues)
      expect(outcome.position.byte).toBe(Buffer.byteLength(source))
    }
    expect(cutAndParse('\ufeff[1]', { format: 'json' }).values).toEqual(['1'])
    expect(cutAndParse('\ufeffa,b\n1,2', { format: 'csv' }).values).toEqual(['{"a":"1","b":"2"}'])
  })

  it('that is UTF-16 is refused once, by name', () => {
    const source = Buffer.from('\ufeff{"a":1}\n{"a":2}\n', 'utf16le')
    for (const { values, rejects } of everyCut(source, { format: 'ndjson' })) {
      expect(values).toEqual([])
      expect(rejects).toHaveLength(1)
      expect(rejects[0]).toMatchObject({ line: 1, reason: expect.stringContaining('UTF-16') })
    }
  })
})

describe('a source that is compressed', () => {
  it('is refused once, by name, with what unpacks it', () => {
    const source = gzipSync('{"a":1}\n'.repeat(1000), { level: 0 })
    for (const { values, rejects } of everyCut(source, { format: 'ndjson' })) {
      expect(values).toEqual([])
      expect(rejects).toEqual([{ line: 1, reason: expect.stringMatching(/gzip.*zcat/) }])
    }
  })
})

describe('CSV rows', () => {
  const csv = 'a,b\r\n1,"x,""y""\r\nz"\r\n\r\n"",2\n3,"é"'
  const csvValues = ['{"a":"1","b":"x,\\"y\\"\\r\\nz"}', '{"a":"","b":"2"}', '{"a":"3","b":"é"}']

  it.each([1, 8, 64])('are whole wherever the reads meet, with buffers of %d bytes', (chunkBytes) => {
    for (const outcome of everyCut(csv, { format: 'csv', chunkBytes, isHungry: true })) {
      expect(outcome.values).toEqual(csvValues)
      expect(outcome.rejects).toEqual([])
      expect(outcome.position.byte).toBe(Buffer.byteLength(csv))
    }
  })
})

describe('a JSON array', () => {
  const json = ' [ {"a":[1,{"b":"],\\"}"}]} ,\n"x,]\\\\" , [[],[2]],3.0\r\n,null ] \n'
  const jsonValues = ['{"a":[1,{"b":"],\\"}"}]}', '"x,]\\\\"', '[[],[2]]', '3.0', 'null']

  it.each([1, 2, 8, 64])('gives its elements wherever the reads meet, with buffers of %d bytes', (chunkBytes) => {
    for (const isHungry of [false, true]) {
      for (const outcome of everyCut(json, { format: 'json', chunkBytes, isHungry })) {
        expect(outcome.values).toEqual(jsonValues)
        expect(outcome.rejects).toEqual([])
        expect(outcome.position).toEqual({ line: 3, byte: json.length })
      }
    }
  })

  it('may be empty', () => {
    for (const source of ['[]', ' [ \n ] ', '', ' \n']) {
      expect(cutAndParse(source, { format: 'json', reads: [1] })).toMatchObject({ values: [], rejects: [] })
    }
  })

  it('gives what is good in it, and the lines of what is not', () => {
    const source = '[1,\n{"a":},\n,\n"open\n,2,\n3}\n,4]'
    for (const { values, rejects } of everyCut(source, { format: 'json', isHungry: true })) {
      expect(values).toEqual(['1', '2', '4'])
      expect(rejects.map(({ line }) => line)).toEqual([2, 3, 4, 6])
      expect(rejects[1].reason).toContain('missing')
    }
  })

  it('that does not end is a reject; what came before its last value counts', () => {
    for (const source of ['[1,2,\n3', '[1,2,\n{"a":[3]', '[1,2,\n']) {
      for (const { values, rejects } of everyCut(source, { format: 'json', isHungry: true })) {
        expect(values).toEqual(['1', '2'])
        expect(rejects).toEqual([{ line: 2, reason: expect.stringContaining('ends within the JSON array') }])
      }
    }
  })

  it('that something follows is a reject, and the array counts', () => {
    for (const outcome of everyCut('[1,2]\n\n[3]\n', { format: 'json' })) {
      expect(outcome.values).toEqual(['1', '2'])
      expect(outcome.rejects).toEqual([{ line: 3, reason: expect.stringContaining('--format ndjson') }])
    }
  })

  it('goes on behind an element that is over the limit', () => {
    const source = `[1,\n"${'x'.repeat(500)}",\n2]`
    for (const { values, rejects } of everyCut(source, { format: 'json', chunkBytes: 16, recordBytesMax: 100 })) {
      expect(values).toEqual(['1', '2'])
      expect(rejects).toEqual([{ line: 2, reason: expect.stringContaining('limit of a record') }])
    }
  })
})

describe('JSON that is no array', () => {
  it('is one record, or as many as there are values', () => {
    const one = '{\n "a": [1,\n 2]\n}\n'
    const many = '{"a":1}\n{"a":\n2} {"a":3}\n4\n"five"'
    for (const outcome of everyCut(one, { format: 'json', isHungry: true }))
      expect(outcome.values).toEqual([one.trim()])
    for (const outcome of everyCut(many, { format: 'json', isHungry: true })) {
      expect(outcome.values).toEqual(['{"a":1}', '{"a":\n2}', '{"a":3}', '4', '"five"'])
    }
  })

  it('that does not end is a reject', () => {
    for (const { values, rejects } of everyCut('{"a":1}\n{"a":', { format: 'json', isHungry: true })) {
      expect(values).toEqual(['{"a":1}'])
      expect(rejects.map(({ line }) => line)).toEqual([2])
    }
  })

  it('may be followed by as much white space as anybody likes', () => {
    const source = `{"a":1}${' '.repeat(5000)}\n${' '.repeat(5000)}`
    const { values, rejects } = cutAndParse(source, { format: 'json', chunkBytes: 16, recordBytesMax: 64, reads: [10] })
    expect(values).toEqual(['{"a":1}'])
    expect(rejects).toEqual([])
  })
})
