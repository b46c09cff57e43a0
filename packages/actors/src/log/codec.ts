import { type Codec, type Region, WalrusError } from '@walrus-log/core'
import { Packr } from 'msgpackr'

/**
 * How a topic's values become bytes and back. `put` writes straight into the lane where it can; a codec that must first
 * know the length encodes beside it.
 */
export interface ValueCodec {
  readonly name: Codec
  /** Encodes into `region` at `at` where [at, limit) has room, and returns the length; -1 where it has not. */
  put(value: unknown, region: Region, at: number, limit: number): number
  /** Encodes into memory of its own. */
  encode(value: unknown): Uint8Array
  /** Decodes [at, at + length). `bytes` gives a view; the others give values of their own. */
  decode(region: Region, at: number, length: number): unknown
}

/** Self-contained values: no record structures that would have to be kept beside the log. */
const packr = new Packr({ useRecords: false, moreTypes: true, copyBuffers: true })

const bytesCodec: ValueCodec = {
  name: 'bytes',
  put(value, region, at, limit) {
    const bytes = requireBytes(value)
    const { length } = bytes
    if (at + length > limit) return -1
    if (length > 32) region.u8.set(bytes, at)
    else for (let index = 0; index < length; index++) region.u8[at + index] = bytes[index]
    return length
  },
  encode: requireBytes,
  decode: (region, at, length) => region.view(at, length),
}

const utf8Codec: ValueCodec = {
  name: 'utf8',
  put: (value, region, at, limit) => putString(requireString(value), region, at, limit),
  encode: (value) => Buffer.from(requireString(value), 'utf8'),
  decode: (region, at, length) => region.bytes.toString('utf8', at, at + length),
}

const jsonCodec: ValueCodec = {
  name: 'json',
  put: (value, region, at, limit) => putString(stringify(value), region, at, limit),
  encode: (value) => Buffer.from(stringify(value), 'utf8'),
  decode: (region, at, length) => JSON.parse(region.bytes.toString('utf8', at, at + length)),
}

const msgpackCodec: ValueCodec = {
  name: 'msgpack',
  put(value, region, at, limit) {
    const bytes = pack(value)
    if (at + bytes.length > limit) return -1
    region.u8.set(bytes, at)
    return bytes.length
  },
  encode: (value) => Uint8Array.prototype.slice.call(pack(value)),
  decode: (region, at, length) => packr.unpack(region.view(at, length)),
}

export const CODECS: Record<Codec, ValueCodec> = {
  bytes: bytesCodec,
  utf8: utf8Codec,
  json: jsonCodec,
  msgpack: msgpackCodec,
}

/** The bytes are the packer's own and valid until it packs again. */
function pack(value: unknown): Uint8Array {
  // The packer would write a function as nil.
  if (typeof value === 'function') throw invalidValue('msgpack', value)
  try {
    return packr.pack(value)
  } catch (cause) {
    throw invalidValue('msgpack', value, cause)
  }
}

function putString(text: string, region: Region, at: number, limit: number): number {
  const room = limit - at
  // Three bytes a UTF-16 unit is the most: then the encoder needs no bound of its own.
  if (text.length * 3 > room && Buffer.byteLength(text, 'utf8') > room) return -1
  return region.bytes.write(text, at, room, 'utf8')
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
  if (value instanceof Uint8Array) return value
  throw invalidValue('bytes', value)
}

function requireString(value: unknown): string {
  if (typeof value === 'string') return value
  throw invalidValue('utf8', value)
}

const NEEDS: Record<Codec, string> = {
  bytes: 'a Uint8Array',
  utf8: 'a string',
  json: 'a value that JSON can hold',
  msgpack: 'a value that msgpack can hold',
}

function invalidValue(codec: Codec, value: unknown, cause?: unknown): WalrusError {
  const given = value === null ? 'null' : typeof value
  return new WalrusError(
    'INVALID_ARGUMENT',
    `a topic with codec '${codec}' takes ${NEEDS[codec]}, a ${given} was given; convert it, or choose another codec`,
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
  if (key instanceof Uint8Array) return key
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `a key is a string or a Uint8Array, a ${typeof key} was given; convert it`,
    { field: 'key' },
  )
}

/** A record's headers as a msgpack map. */
export function encodeHeaders(headers: unknown): Uint8Array | undefined {
  if (headers === undefined || headers === null) return undefined
  if (typeof headers === 'object' && !Array.isArray(headers)) return Uint8Array.prototype.slice.call(pack(headers))
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `headers are an object of names and values, a ${typeof headers} was given; pass { name: value }`,
    { field: 'headers' },
  )
}

export function decodeHeaders(region: Region, at: number, length: number): Record<string, unknown> {
  return packr.unpack(region.view(at, length)) as Record<string, unknown>
}
