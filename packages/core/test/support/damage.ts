import fs from 'node:fs'

/** A file under the hands of whoever damages it. Each verb begins with the bytes that the file had at first. */
export class DamagedFile {
  readonly path: string
  readonly original: Buffer

  constructor(path: string) {
    this.path = path
    this.original = fs.readFileSync(path)
  }

  get bytes(): Buffer {
    return fs.readFileSync(this.path)
  }

  get length(): number {
    return this.original.length
  }

  restore(): void {
    fs.writeFileSync(this.path, this.original)
  }

  setByte(at: number, value: number): void {
    this.#change((bytes) => bytes.writeUInt8(value, at))
  }

  /** Changes the byte to one that it was not. */
  flipByte(at: number, mask = 0xff): void {
    this.setByte(at, this.original[at] ^ mask)
  }

  cutAt(at: number): void {
    fs.writeFileSync(this.path, this.original.subarray(0, at))
  }

  /** What a disk leaves that knew the file's length, but not yet its bytes. */
  zeroFrom(at: number, to = this.length): void {
    this.#change((bytes) => bytes.fill(0, at, to))
  }

  garbageFrom(at: number, seed = at): void {
    this.#change((bytes) => {
      let state = (seed + 1) | 0
      for (let index = at; index < bytes.length; index++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
        bytes[index] = state >>> 24
      }
    })
  }

  append(bytes: Uint8Array): void {
    fs.writeFileSync(this.path, Buffer.concat([this.original, bytes]))
  }

  /** Takes the bytes [from, to) out, so that what follows moves forward. */
  spliceOut(from: number, to: number): void {
    fs.writeFileSync(this.path, Buffer.concat([this.original.subarray(0, from), this.original.subarray(to)]))
  }

  #change(change: (bytes: Buffer) => void): void {
    const bytes = Buffer.from(this.original)
    change(bytes)
    fs.writeFileSync(this.path, bytes)
  }
}
