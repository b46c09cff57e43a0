import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { SharedBuffers } from '../memory/shared-memory.js'
import type { LargeBatch } from '../message/large-batches.js'
import {
  type PartitionAssignment,
  type SyncThreadData,
  THREAD_DONE,
  type WriterThreadData,
} from '../writer/messages.js'

const WRITER_ENTRY = new URL('../writer/segment-writer.actor.js', import.meta.url)
const SYNC_ENTRY = new URL('../writer/sync.actor.js', import.meta.url)

/** Why a thread ended. */
export interface ThreadEnd {
  reason: 'stopped' | 'failed' | 'exited' | 'out-of-memory'
  error?: Error
}

/**
 * The two threads of one segment writer, started and ended together: neither is of use without the other, and memory
 * that one of them may still touch is given to nobody else before both have exited.
 */
export class ThreadPair {
  readonly control: MessagePort
  /** Resolves when both threads have exited. */
  readonly ended: Promise<ThreadEnd>
  readonly #threads: readonly Worker[]

  constructor(options: {
    writer: number
    buffers: SharedBuffers
    fileSystem: string | undefined
    filesMax: number
    resume: PartitionAssignment[]
    largeBatches: readonly LargeBatch[]
  }) {
    const control = new MessageChannel()
    const sync = new MessageChannel()
    this.control = control.port1
    const { writer, buffers, fileSystem, filesMax, resume, largeBatches } = options
    const writerData: WriterThreadData = {
      writer,
      buffers,
      fileSystem,
      filesMax,
      resume,
      largeBatches,
      control: control.port2,
      sync: sync.port1,
    }
    const syncData: SyncThreadData = { writer, buffers, fileSystem, filesMax, sync: sync.port2 }
    this.#threads = [
      start(WRITER_ENTRY, `walrus-writer-${writer}`, writerData, [control.port2, sync.port1]),
      start(SYNC_ENTRY, `walrus-sync-${writer}`, syncData, [sync.port2]),
    ]
    const ends = this.#threads.map(endOf)
    // Whichever ends first unasked takes the other with it.
    this.ended = Promise.race(ends).then(async (first) => {
      if (first.reason !== 'stopped') this.terminate()
      const all = await Promise.all(ends)
      this.control.close()
      return first.reason === 'stopped' ? (all.find(({ reason }) => reason !== 'stopped') ?? first) : first
    })
    for (const thread of this.#threads) thread.unref()
  }

  terminate(): void {
    for (const thread of this.#threads) void thread.terminate()
  }
}

function start(entry: URL, name: string, workerData: object, transferList: MessagePort[]): Worker {
  return new Worker(entry, { name, workerData, transferList, execArgv: [], stdin: false })
}

function endOf(thread: Worker): Promise<ThreadEnd> {
  return new Promise((resolve) => {
    let error: Error | undefined
    let hasSaidSo = false
    // An exit code of 0 alone says nothing: `process.exit()` in the thread gives the same.
    thread.on('message', (message) => {
      if (message === THREAD_DONE) hasSaidSo = true
    })
    thread.once('error', (cause) => {
      error = cause as Error
    })
    thread.once('exit', (code) => {
      if (error === undefined)
        resolve(
          hasSaidSo
            ? { reason: 'stopped' }
            : { reason: 'exited', error: new Error(`the thread exited with code ${code}`) },
        )
      else if ((error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY')
        resolve({ reason: 'out-of-memory', error })
      else resolve({ reason: 'failed', error })
    })
  })
}
