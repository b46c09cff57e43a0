import type { OpenFile } from '@walrus-log/core'

/** A file as it is, for those that have something to say of some of its calls. */
export class ForwardingFile implements OpenFile {
  protected readonly file: OpenFile

  constructor(file: OpenFile) {
    this.file = file
  }

  read(target: Uint8Array, offset: number, length: number, position: number): number {
    return this.file.read(target, offset, length, position)
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    this.file.write(source, offset, length, position)
  }

  writeMany(views: Uint8Array[], position: number): void {
    this.file.writeMany(views, position)
  }

  sync(): void {
    this.file.sync()
  }

  truncate(length: number): void {
    this.file.truncate(length)
  }

  size(): number {
    return this.file.size()
  }

  close(): void {
    this.file.close()
  }
}
