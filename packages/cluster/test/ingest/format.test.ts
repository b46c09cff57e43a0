import { describe, expect, it } from 'vitest'
import { delimiterOfName, formatOfContent, formatOfName } from '#cluster/ingest/format.js'
import { topicOf } from '#cluster/ingest/options.js'

describe('the format of a name', () => {
  it.each([
    ['a.ndjson', 'ndjson'],
    ['dir.csv/a.JSONL', 'ndjson'],
    ['a.json', 'json'],
    ['a.csv', 'csv'],
    ['a.tsv', 'csv'],
    ['access.log', 'lines'],
    ['a.txt', 'lines'],
    ['data', undefined],
    ['a.json.gz', undefined],
  ])('%s is %s', (name, format) => {
    expect(formatOfName(name)).toBe(format)
  })

  it('says what separates the fields of CSV', () => {
    expect([delimiterOfName('a.csv'), delimiterOfName('a.tsv')]).toEqual([',', '\t'])
  })
})

describe('the format of content', () => {
  it.each([
    ['{"a":1}\n{"a"', 'ndjson'],
    ['\ufeff\n {"a":1}\n', 'ndjson'],
    ['[1]\n[2]', 'ndjson'],
    ['[1,\n2', 'json'],
    ['{\n "a": 1', 'json'],
    ['plain text', 'lines'],
    ['a,b\n1,2', 'lines'],
    // Too little to tell.
    ['', undefined],
    [' \n', undefined],
    ['{"a":1}', undefined],
    ['[1,2', undefined],
    ['[1,2]\n', undefined],
  ])('%j is %s', (text, format) => {
    expect(formatOfContent(Buffer.from(text), false)).toBe(format)
  })

  it.each([
    ['', 'ndjson'],
    ['{"a":1}', 'ndjson'],
    ['[1,2', 'json'],
    ['[1,2]\n', 'json'],
  ])('%j, when that is all, is %s', (text, format) => {
    expect(formatOfContent(Buffer.from(text), true)).toBe(format)
  })
})

it.each([
  ['/data/trips.ndjson', 'trips'],
  ['my flights (2).csv', 'my_flights__2_'],
  ['.hidden', 'hidden'],
  ['trips.2026.json', 'trips.2026'],
  ['-', 'stdin'],
  ['ü.json', '_'],
])('the topic of %s is %s', (file, topic) => {
  expect(topicOf(file)).toBe(topic)
})
