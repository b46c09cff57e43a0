import { parentPort, workerData } from 'node:worker_threads'
import { BoundedFileSystem } from '@walrus-log/core'
import { SharedMemory } from '../memory/shared-memory.js'
import { loadFileSystem } from './file-system.js'
import { type SyncThreadData, THREAD_DONE } from './messages.js'
import { SyncLoop } from './sync-loop.js'

// The entry of a segment writer's sync thread. It blocks in its doorbell and in `fdatasync`.
const data = workerData as SyncThreadData
const fs = new BoundedFileSystem(await loadFileSystem(data.fileSystem), data.filesMax)
const loop = new SyncLoop(new SharedMemory(data.buffers), data.writer, fs, data.sync)
loop.run()
data.sync.close()
parentPort!.postMessage(THREAD_DONE)
