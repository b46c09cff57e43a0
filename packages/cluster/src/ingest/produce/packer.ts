import { partitionOfKey } from '@walrus-log/actors'
import { NEWLINE } from '../feed/boundaries.js'
import type { ParsedRecord } from '../parse/parsed-record.js'
import type { Pack } from './messages.js'

const VALUES_BYTES_MIN = 4096

/** Collects the records of a chunk for one stream. */
class PackBuilder {
  readonly #stream: number
  readonly #isKeyed: boolean
  readonly #ends: number[] = []
  readonly #lines: number[] = []
  readonly #keys: string[] = []
  #values = new Uint8Array(VALUES_BYTES_MIN)
  #valuesBytes = 0

  constructor(stream: number, isKeyed: boolean) {
    this.#stream = stream
    this.#isKeyed = isKeyed
  }

  add({ value, key }: ParsedRecord, line: number): void {
    const end = this.#valuesBytes + value.length
    if (end > this.#values.length) {
      const larger = new Uint8Array(Math.max(end, this.#values.length * 2))
      larger.set(this.#values.subarray(0, this.#valuesBytes))
      this.#values = larger
    }
    this.#values.set(value, this.#valuesBytes)
    this.#valuesBytes = end
    this.#ends.push(end)
    this.#lines.push(line)
    if (this.#isKeyed) this.#keys.push(key as string)
  }

  build(): Pack {
    return {
      stream: this.#stream,
      values: this.#values,
      ends: Uint32Array.from(this.#ends),
      lines: Uint32Array.from(this.#lines),
      keys: this.#isKeyed ? this.#keys : undefined,
    }
  }
}

/** Deals the records of a chunk out to streams: those of a key to its partition's, the others to the one that is named. */
export class Packer {
  readonly #bytes: Uint8Array
  readonly #streamWithoutKey: number
  readonly #partitions: number
  readonly #builders = new Map<number, PackBuilder>()
  /** The first newline that is not counted, or the end. */
  #newlineAt: number
  #line = 0

  /** `bytes` are the chunk's. */
  constructor(bytes: Uint8Array, { stream, partitions }: { stream: number; partitions: number }) {
    this.#bytes = bytes
    this.#streamWithoutKey = stream
    this.#partitions = partitions
    this.#newlineAt = this.#newlineFrom(0)
  }

  add(record: ParsedRecord): void {
    const { key } = record
    const stream = key === undefined ? this.#streamWithoutKey : partitionOfKey(Buffer.from(key), this.#partitions)
    let builder = this.#builders.get(stream)
    if (!builder) {
      builder = new PackBuilder(stream, key !== undefined)
      this.#builders.set(stream, builder)
    }
    builder.add(record, this.#lineOf(record.position))
  }

  build(): Pack[] {
    return [...this.#builders.values()].map((builder) => builder.build())
  }

  /** Records come in the order of their positions, so each byte is looked at once, also where there are no newlines. */
  #lineOf(position: number): number {
    while (this.#newlineAt < position) {
      this.#line++
      this.#newlineAt = this.#newlineFrom(this.#newlineAt + 1)
    }
    return this.#line
  }

  #newlineFrom(position: number): number {
    const at = this.#bytes.indexOf(NEWLINE, position)
    return at === -1 ? this.#bytes.length : at
  }
}
