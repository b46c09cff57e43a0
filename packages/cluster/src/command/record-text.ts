import { isUtf8 } from 'node:buffer'
import type { Codec, Gap, LogRecord } from '@walrus-log/actors'

type PrintedRecord = Pick<
  LogRecord<unknown>,
  'value' | 'bytes' | 'key' | 'headers' | 'offset' | 'timestamp' | 'partition'
>

const NEWLINE = 0x0a

type ValueText = (record: Pick<PrintedRecord, 'value' | 'bytes'>) => string

/**
 * By codec, and not by comparing its name for each record: Node 22's compiler takes a name that came from another thread for
 * a different one now and then (one record in some ten thousand, as the code is being compiled).
 */
const VALUE_TEXTS: Record<Codec, ValueText> = {
  utf8: ({ value }) => String(value),
  bytes: ({ bytes }) => base64(bytes),
  // Decoding and encoding would round large numbers, so JSON that is one line already is shown as it is.
  json: ({ value, bytes }) => (bytes && !bytes.includes(NEWLINE) ? textOf(bytes) : toJson(value)),
  msgpack: ({ value }) => toJson(value),
}

/** The value as one line of text: JSON as it was stored, bytes as base64. */
export function valueAsText(record: Pick<PrintedRecord, 'value' | 'bytes'>, codec: Codec): string {
  return VALUE_TEXTS[codec](record)
}

/** Whether the value's text is no JSON yet. */
const IS_TEXT: Record<Codec, boolean> = { utf8: true, bytes: true, json: false, msgpack: false }

/** One JSON object: partition, offset, timestamp (ms), key, headers if there are any, value. */
export function recordAsJson(record: PrintedRecord, codec: Codec): string {
  const { partition, offset, timestamp, key, headers } = record
  const isText = IS_TEXT[codec]
  const value =
    record.bytes === null ? 'null' : isText ? JSON.stringify(valueAsText(record, codec)) : valueAsText(record, codec)
  const parts = [
    `"partition":${partition}`,
    `"offset":${offset}`,
    `"timestamp":${timestamp}`,
    `"key":${key === null ? 'null' : JSON.stringify(keyText(key))}`,
    ...(headers ? [`"headers":${toJson(headers)}`] : []),
    `"value":${value}`,
  ]
  return `{${parts.join(',')}}`
}

/** For people: place, time, key, and as much of the value as fits. */
export function recordAsLine(record: PrintedRecord, codec: Codec, columns: number): string {
  const { partition, offset, timestamp, key } = record
  const head = `${partition}/${offset}  ${new Date(timestamp).toISOString()}  ${key === null ? '' : `${keyText(key)}  `}`
  const line = printable(head + (record.bytes === null ? '(no value)' : valueAsText(record, codec)))
  return line.length <= columns ? line : `${line.slice(0, Math.max(columns - 1, 20))}…`
}

export function gapAsJson({ partition, gap, from, to }: Gap): string {
  return JSON.stringify({ partition, gap, from, to })
}

export function gapAsLine({ partition, gap, from, to }: Gap): string {
  return `${partition}/${from}  (${gap}: the records ${from} to ${to - 1} are not there)`
}

function keyText(key: Uint8Array): string {
  return isUtf8(key) ? textOf(key) : base64(key)
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

function base64(bytes: Uint8Array | null): string {
  return bytes === null ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

/** JSON of what a codec may give that JSON has no word for, too. */
function toJson(value: unknown): string {
  const text = JSON.stringify(value, function (this: Record<string, unknown>, name, part) {
    // A Buffer has been made an object of its numbers by now; what it was is still in its holder.
    const original = this[name]
    if (original instanceof Uint8Array) return base64(original)
    if (original instanceof Map) return Object.fromEntries(original)
    return typeof original === 'bigint' ? original.toString() : part
  })
  return text ?? 'null'
}

/** Records hold anything, escape sequences for a terminal included. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
