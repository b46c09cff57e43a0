import { describe, expect, it } from 'vitest'
import { parseDurability, parseFrom } from '#cluster/command/option-values.js'
import { progressText } from '#cluster/command/progress-reporter.js'
import { recordAsJson, valueAsText } from '#cluster/command/record-text.js'

describe('option values', () => {
  it('are read as people write them', () => {
    expect(['disk', 'os', 'none', '50'].map(parseDurability)).toEqual(['disk', 'os', 'none', { everyMs: 50 }])
    expect(['start', 'end', '0', '12'].map(parseFrom)).toEqual(['start', 'end', 0, 12])
    expect(parseFrom('2026-01-31')).toEqual(new Date('2026-01-31T00:00:00Z'))
    for (const text of ['', 'Disk', '0', '-1', '1.5']) expect(() => parseDurability(text)).toThrow('One of disk')
    for (const text of ['', '-1', '2026-13-01', 'now']) expect(() => parseFrom(text)).toThrow('One of start')
  })
})

describe('progress', () => {
  const progress = {
    phase: 'ingest',
    records: 1_234_567,
    recordsTotal: null,
    bytes: 50e6,
    bytesTotal: 100e6,
    seconds: 2,
  } as const

  it('is told in one line', () => {
    expect(progressText(progress)).toBe('ingest: 50 %, 1,234,567 records, 617,284 records/s, 25.0 MB/s, 2 s left')
  })

  it('does without what nobody knows', () => {
    expect(progressText({ ...progress, bytesTotal: null })).toBe(
      'ingest: 1,234,567 records, 617,284 records/s, 25.0 MB/s',
    )
    expect(progressText({ ...progress, records: 0, bytes: 0, seconds: 0 })).not.toContain('left')
  })
})

describe('records as text', () => {
  const record = { partition: 1, offset: 2, timestamp: 3, key: null, headers: null }

  it('keep the digits of numbers that JavaScript would round', () => {
    const bytes = Buffer.from('{"id":12345678901234567890.10}')
    expect(recordAsJson({ ...record, bytes, value: JSON.parse(bytes.toString()) }, 'json')).toBe(
      '{"partition":1,"offset":2,"timestamp":3,"key":null,"value":{"id":12345678901234567890.10}}',
    )
  })

  it('take one line, whatever the value', () => {
    const bytes = Buffer.from('{\n"a": 1\n}')
    expect(valueAsText({ bytes, value: { a: 1 } }, 'json')).toBe('{"a":1}')
    const value = { big: 1n, bytes: Buffer.from('x'), map: new Map([['k', 1]]), date: new Date(0) }
    expect(JSON.parse(valueAsText({ bytes, value }, 'msgpack'))).toEqual({
      big: '1',
      bytes: 'eA==',
      map: { k: 1 },
      date: '1970-01-01T00:00:00.000Z',
    })
  })

  it('tell a record without a value', () => {
    expect(recordAsJson({ ...record, bytes: null, value: null }, 'bytes')).toContain('"value":null')
  })
})
