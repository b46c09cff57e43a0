import { types } from 'node:util'
import { type Codec, type Region, shown, WalrusError } from '@walrus-log/core'
import { Packr } from 'msgpackr'

/** A value as `put` takes it: text that is encoded in place, or bytes that are copied. */
export type PreparedValue = string | Uint8Array

/** How a topic's values become bytes and back: first prepared, then written straight into the lane. */
export interface ValueCodec {
  readonly name: Codec
  /**
   * Checks a value and turns it into text or bytes, which are valid until the next call. Runs what code the value has
   * (getters, `toJSON`), which may send in its turn: so never while room in a lane is reserved.
   */
  prepare(value: unknown): PreparedValue
  /** Encodes into memory of its own. */
  encode(value: unknown): Uint8Array
  /** Decodes [at, at + length). `bytes` gives a view; the others give values of their own. */
  decode(region: Region, at: number, length: number): unknown
}

/** Self-contained values: no record structures that would have to be kept beside the log. */
const packr = new Packr({ useRecords: false, moreTypes: true, copyBuffers: true })

const bytesCodec: ValueCodec = {
  name: 'bytes',
  prepare: requireBytes,
  encode: requireBytes,
  decode: (region, at, length) => region.view(at, length),
}

const utf8Codec: ValueCodec = {
  name: 'utf8',
  prepare: requireString,
  encode: (value) => Buffer.from(requireString(value), 'utf8'),
  decode: (region, at, length) => region.bytes.toString('utf8', at, at + length),
}

const jsonCodec: ValueCodec = {
  name: 'json',
  prepare: stringify,
  encode: (value) => Buffer.from(stringify(value), 'utf8'),
  decode: (region, at, length) => JSON.parse(region.bytes.toString('utf8', at, at + length)),
}

const msgpackCodec: ValueCodec = {
  name: 'msgpack',
  prepare: pack,
  encode: (value) => Uint8Array.prototype.slice.call(pack(value)),
  decode: (region, at, length) => packr.unpack(region.view(at, length)),
}

export const CODECS: Record<Codec, ValueCodec> = {
  bytes: bytesCodec,
  utf8: utf8Codec,
  json: jsonCodec,
  msgpack: msgpackCodec,
}

let isPacking = false

/** The bytes are the packer's own and valid until it packs again. */
function pack(value: unknown): Uint8Array {
  // The packer would write a function as nil. It has one buffer: a getter that packs would write over what is in it.
  if (typeof value === 'function' || isPacking) throw invalidValue('msgpack', value)
  isPacking = true
  try {
    return packr.pack(value)
  } catch (cause) {
    throw invalidValue('msgpack', value, cause)
  } finally {
    isPacking = false
  }
}

/** Encodes a prepared value into `region` at `at` where [at, limit) has room, and returns the length; -1 where it has not. */
export function putPrepared(value: PreparedValue, region: Region, at: number, limit: number): number {
  const room = limit - at
  if (typeof value === 'string') {
    // Three bytes a UTF-16 unit is the most: then the encoder needs no bound of its own.
    if (value.length * 3 > room && Buffer.byteLength(value, 'utf8') > room) return -1
    return region.bytes.write(value, at, room, 'utf8')
  }
  const { length } = value
  if (length > room) return -1
  if (length > 32) region.u8.set(value, at)
  else for (let index = 0; index < length; index++) region.u8[at + index] = value[index]
  return length
}

/** Length of a prepared value as it is stored. */
export function preparedBytes(value: PreparedValue): number {
  return typeof value === 'string' ? Buffer.byteLength(value, 'utf8') : value.length
}

function stringify(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw invalidValue('json', value, cause)
  }
  if (text === undefined) throw invalidValue('json', value)
  return text
}

function requireBytes(value: unknown): Uint8Array {
  if (isBytes(value)) return value
  throw invalidValue('bytes', value)
}

/**
 * Whether it is a Uint8Array that still has its memory: one whose buffer was transferred to another thread, or was made
 * too short, has length 0 and looks like an empty value.
 */
export function isBytes(value: unknown): value is Uint8Array {
  return types.isUint8Array(value) && (value.length > 0 || hasMemory(value))
}

function hasMemory(bytes: Uint8Array): boolean {
  try {
    Uint8Array.prototype.at.call(bytes, 0)
    return true
  } catch {
    return false
  }
}

function requireString(value: unknown): string {
  if (typeof value === 'string') return value
  throw invalidValue('utf8', value)
}

const NEEDS: Record<Codec, string> = {
  bytes: 'a Uint8Array whose buffer was not transferred',
  utf8: 'a string',
  json: 'a value that JSON can hold',
  msgpack: 'a value that msgpack can hold',
}

function invalidValue(codec: Codec, value: unknown, cause?: unknown): WalrusError {
  return new WalrusError(
    'INVALID_ARGUMENT',
    `a topic with codec '${codec}' takes ${NEEDS[codec]}, ${shown(value)} was given; convert it, or choose another codec`,
    {
      field: 'value',
      cause,
    },
  )
}

/** A record's key as bytes. */
export function encodeKey(key: unknown): Uint8Array | undefined {
  if (key === undefined || key === null) return undefined
  if (typeof key === 'string') return Buffer.from(key, 'utf8')
  if (isBytes(key)) return key
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a key is a string or a Uint8Array whose buffer was not transferred, ${shown(key)} was given; convert it`,
    { field: 'key' },
  )
}

/** A record's headers as a msgpack map. */
export function encodeHeaders(headers: unknown): Uint8Array | undefined {
  if (headers === undefined || headers === null) return undefined
  const bytes = typeof headers === 'object' ? pack(headers) : undefined
  // Whatever else an object may be to the packer (a date, a set, an array), it is read back as no headers.
  if (bytes !== undefined && isMap(bytes[0])) return Uint8Array.prototype.slice.call(bytes)
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `headers are an object of names and values, ${shown(headers)} was given; pass { name: value }`,
    { field: 'headers' },
  )
}

/** The first byte of msgpack's `fixmap`, `map 16` and `map 32`. */
function isMap(first: number): boolean {
  return (first & 0xf0) === 0x80 || first === 0xde || first === 0xdf
}

export function decodeHeaders(region: Region, at: number, length: number): Record<string, unknown> {
  return packr.unpack(region.view(at, length)) as Record<string, unknown>
}
