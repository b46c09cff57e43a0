import { isUtf8 } from 'node:buffer'
import type { DumpItem } from '@walrus-log/core'
import { printable } from './record-text.js'

/** One JSON object. Bytes that are UTF-8 are text; others are `{ "base64": … }`. */
export function itemAsJson(item: DumpItem): string {
  return JSON.stringify(item, (_, value) => {
    if (!(value instanceof Uint8Array)) return value
    return isUtf8(value) ? textOf(value) : { base64: base64Of(value) }
  })
}

/** For people, cut to the terminal's width where it is a record's. */
export function itemAsLine(item: DumpItem, columns: number): string {
  switch (item.type) {
    case 'segment':
      return `segment ${hex(item.segmentId)}, partition ${item.partition}, base offset ${item.baseOffset}, epoch ${item.leaseEpoch}, made ${time(item.createdMs)}, ${item.acknowledgedOffset} acknowledged before${compressionText(item)}`
    case 'batch':
      return `byte ${item.position}: offsets ${item.offset} to ${item.offsetTo - 1}, ${item.bytes} bytes, epoch ${item.leaseEpoch}, ${item.acknowledgedOffset} acknowledged, producer ${hex(item.producerId)}/${item.producerEpoch} from ${item.sequenceFirst}`
    case 'record': {
      const key = item.key === null ? '' : `${partAsText(item.key)}  `
      const value = item.value === null ? '(no value)' : partAsText(item.value)
      const line = printable(`  ${item.offset}  ${time(item.timestamp)}  ${key}${value}`)
      return line.length <= columns ? line : `${line.slice(0, Math.max(columns - 1, 20))}…`
    }
    case 'damage': {
      const offsets = item.offsetTo > item.offset ? `offsets ${item.offset} to ${item.offsetTo - 1}` : 'no offset known'
      const kind = item.isGivenUp ? 'given up' : 'DAMAGE'
      return `${kind} at bytes ${item.position} to ${item.positionTo}: ${offsets} (${item.reason})`
    }
    case 'end':
      return `end at byte ${item.position} of ${item.fileBytes}: ${item.batches} batches, ${item.records} records, next offset ${item.offset}`
    case 'index':
      return `index of segment ${hex(item.segmentId)}: offsets ${item.baseOffset} to ${item.baseOffset + item.recordCount - 1}, ${item.batchCount} batches, ${item.dataBytes} bytes, times ${time(item.timestampFirst)} to ${time(item.timestampMax)}, sealed ${time(item.sealedMs)}, epoch ${item.epochLast}, digest ${hex(item.digest)}`
    case 'entry':
      return `  offset ${item.offset} at byte ${item.position}, latest time before ${time(item.timestampMax)}`
  }
}

function compressionText({ compression, blocks, storedBytes }: Extract<DumpItem, { type: 'segment' }>): string {
  return compression === undefined
    ? ''
    : `, in ${blocks} blocks of ${compression} (${storedBytes} bytes; positions are those before)`
}

const hex = (word: number): string => `0x${word.toString(16).padStart(8, '0')}`

function time(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString()
}

const partAsText = (bytes: Uint8Array): string => (isUtf8(bytes) ? textOf(bytes) : base64Of(bytes))
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
const base64Of = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
