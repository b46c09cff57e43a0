import { crc32 } from 'node:zlib'
import { NEWLINE } from '../feed/boundaries.js'
import type { ParsedRecord } from '../parse/parsed-record.js'
import type { Pack } from './messages.js'

const VALUES_BYTES_MIN = 4096

/** Collects the records of a chunk for one owner. */
class PackBuilder {
  readonly #owner: number
  readonly #isKeyed: boolean
  readonly #ends: number[] = []
  readonly #lines: number[] = []
  readonly #keys: string[] = []
  #values = new Uint8Array(VALUES_BYTES_MIN)
  #valuesBytes = 0

  constructor(owner: number, isKeyed: boolean) {
    this.#owner = owner
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
      owner: this.#owner,
      values: this.#values,
      ends: Uint32Array.from(this.#ends),
      lines: Uint32Array.from(this.#lines),
      keys: this.#isKeyed ? this.#keys : undefined,
    }
  }
}

/** Deals the records of a chunk out to their owners: all records of a key to the same one. */
export class Packer {
  readonly #bytes: Uint8Array
  readonly #ownersCount: number
  readonly #ownerWithoutKey: number
  readonly #builders = new Map<number, PackBuilder>()
  #position = 0
  #line = 0

  /** `bytes` are the chunk's. */
  constructor(bytes: Uint8Array, owners: { ownersCount: number; ownerWithoutKey: number }) {
    this.#bytes = bytes
    this.#ownersCount = owners.ownersCount
    this.#ownerWithoutKey = owners.ownerWithoutKey
  }

  add(record: ParsedRecord): void {
    const { key } = record
    const owner = key === undefined ? this.#ownerWithoutKey : crc32(key) % this.#ownersCount
    let builder = this.#builders.get(owner)
    if (!builder) {
      builder = new PackBuilder(owner, key !== undefined)
      this.#builders.set(owner, builder)
    }
    builder.add(record, this.#lineOf(record.position))
  }

  build(): Pack[] {
    return [...this.#builders.values()].map((builder) => builder.build())
  }

  /** Records come in the order of their positions, so each newline is counted once. */
  #lineOf(position: number): number {
    for (let at = this.#bytes.indexOf(NEWLINE, this.#position); at !== -1 && at < position; ) {
      this.#line++
      at = this.#bytes.indexOf(NEWLINE, at + 1)
    }
    this.#position = position
    return this.#line
  }
}
