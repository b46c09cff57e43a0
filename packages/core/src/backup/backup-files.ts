import path from 'node:path'
import { READ_CHUNK_BYTES } from '../limits.js'
import { segmentStem } from '../segment/segment-name.js'
import type { FileSystem } from '../storage/file-system.js'

/** Copies that are asked for in pieces, so that others have their turn, and may stop it. */
export type Copying<Result = void> = Generator<number, Result, undefined>

/** Copies a file, or its first `bytesMax` bytes, durably but for its name. Yields the bytes of each piece. */
export function* copyBytes(fs: FileSystem, from: string, to: string, bytesMax = Number.POSITIVE_INFINITY): Copying {
  const source = fs.open(from, 'read')
  try {
    const target = fs.open(to, 'create')
    try {
      const chunk = new Uint8Array(READ_CHUNK_BYTES)
      for (let position = 0; position < bytesMax; ) {
        const bytes = source.read(chunk, 0, Math.min(chunk.length, bytesMax - position), position)
        if (bytes === 0) break
        target.write(chunk, 0, bytes, position)
        position += bytes
        yield bytes
      }
      target.sync()
    } finally {
      target.close()
    }
  } finally {
    source.close()
  }
}

/** Names of the files that belong to one segment, its data first and its index, which says that all is there, last. */
export function filesOfSegment(names: readonly string[], baseOffset: number): string[] {
  const stem = segmentStem(baseOffset)
  const own = names.filter((name) => name.startsWith(`${stem}.`) && /^\d+\.[a-z0-9]+$/.test(name))
  return own.sort((left, right) => orderOf(left) - orderOf(right))
}

const ORDER = ['.log', '.producers', '.gaps', '.index']

/** Other data of a segment, whatever it is called, goes with its data. */
const orderOf = (name: string): number => Math.max(ORDER.indexOf(path.extname(name)), 0)
