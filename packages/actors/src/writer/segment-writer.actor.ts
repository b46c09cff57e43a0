import { parentPort, workerData } from 'node:worker_threads'
import { BoundedFileSystem } from '@walrus-log/core'
import { SharedMemory } from '../memory/shared-memory.js'
import { LargeBatches } from '../message/large-batches.js'
import { loadFileSystem } from './file-system.js'
import { THREAD_DONE, type WriterThreadData } from './messages.js'
import { WriterLoop } from './writer-loop.js'

// The entry of a segment writer's thread. It blocks in its doorbell: nothing here may rely on the event loop.
const data = workerData as WriterThreadData
const memory = new SharedMemory(data.buffers)
const largeBatches = new LargeBatches(memory, data.writer, data.largeBatches)
const loop = new WriterLoop({
  memory,
  writer: data.writer,
  fs: new BoundedFileSystem(await loadFileSystem(data.fileSystem), data.filesMax),
  control: data.control,
  sync: data.sync,
  largeBatches,
})
loop.resume(data.resume)
loop.run()
data.control.close()
largeBatches.close()
data.sync.close()
parentPort!.postMessage(THREAD_DONE)
