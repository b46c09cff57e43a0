import { writeFileSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { isMainThread } from 'node:worker_threads'
import { type FileSystem, NodeFileSystem, type OpenFile } from '@walrus-log/core'
import { ForwardingFile } from '../forwarding-file.js'
import { bytesOfALook } from './heap.js'

// A file system for a log whose writer thread is to be measured: it is the host's, and looks at its thread's heap now and
// then as bytes come by. So the thread that is measured is the log's own, with nothing in it but this. Started as
// `heap-probe.js?samples=FILE`; when a segment is closed, FILE gets pairs of bytes written and heap bytes allocated.

const SAMPLES_MAX = 4096
/** A window between two looks: long enough that a look's own objects are a small part. */
const WINDOW_BYTES = 2 * 1024 * 1024

const samplesFile = new URL(import.meta.url).searchParams.get('samples')

class ProbedFile extends ForwardingFile {
  readonly #samples = new Float64Array(2 * SAMPLES_MAX)
  #count = 0
  #windowBytes = 0
  #used = 0

  override write(source: Uint8Array, offset: number, length: number, position: number): void {
    super.write(source, offset, length, position)
    this.#windowBytes += length
    if (this.#windowBytes >= WINDOW_BYTES) this.#look()
  }

  override writeMany(views: Uint8Array[], position: number): void {
    super.writeMany(views, position)
    for (const view of views) this.#windowBytes += view.length
    if (this.#windowBytes >= WINDOW_BYTES) this.#look()
  }

  #look(): void {
    const used = getHeapStatistics().used_heap_size
    if (this.#count < SAMPLES_MAX && this.#used > 0 && used >= this.#used) {
      this.#samples[2 * this.#count] = this.#windowBytes
      this.#samples[2 * this.#count + 1] = used - this.#used
      this.#count++
    }
    this.#windowBytes = 0
    this.#used = getHeapStatistics().used_heap_size
  }

  override close(): void {
    super.close()
    if (this.#count === 0 || samplesFile === null) return
    const ownBytes = bytesOfALook()
    const pairs: [number, number][] = []
    for (let index = 0; index < this.#count; index++) {
      pairs.push([this.#samples[2 * index], Math.max(this.#samples[2 * index + 1] - ownBytes, 0)])
    }
    writeFileSync(samplesFile, JSON.stringify(pairs))
    this.#count = 0
  }
}

class ProbedFileSystem extends NodeFileSystem {
  override open(file: string, mode: 'read' | 'write' | 'create'): OpenFile {
    const opened = super.open(file, mode)
    // Only the writer makes segments; the measured topic's is the one that counts.
    const isMeasured = mode === 'create' && file.endsWith('.log') && file.includes('measured')
    return isMeasured ? new ProbedFile(opened) : opened
  }
}

export default function makeFileSystem(): FileSystem {
  return isMainThread ? new NodeFileSystem() : new ProbedFileSystem()
}
