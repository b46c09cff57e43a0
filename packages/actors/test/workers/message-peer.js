import { parentPort, workerData } from 'node:worker_threads'
import { WalrusError } from '@walrus-log/core'
import { EventedDoorbell } from '#actors/lane/doorbell.js'
import { CLIENT_DOORBELL_AT, clientAt, HOST_CLIENT } from '#actors/memory/layout.js'
import { SharedMemory } from '#actors/memory/shared-memory.js'
import { answerClient } from '#actors/message/control-channel.js'

// Answers calls over lanes, until the thread is ended.
const { buffers, client } = workerData
const memory = new SharedMemory(buffers)

const target = {
  /** @param {unknown} value */
  echo: (value) => value,
  /** @param {number[]} numbers */
  sum: (...numbers) => numbers.reduce((sum, number) => sum + number, 0),
  /** @param {number} bytes */
  bytes: (bytes) => new Uint8Array(bytes).fill(bytes & 0xff),
  fail() {
    const cause = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    throw new WalrusError('SEGMENT_POISONED', 'a write failed; send it again', { cause, offset: 12 })
  },
  never: () => new Promise(() => {}),
}

const endpoint = answerClient(memory, client, target)
const doorbell = new EventedDoorbell(memory.words, clientAt(HOST_CLIENT) + CLIENT_DOORBELL_AT)
doorbell.listen({
  poll() {
    endpoint.poll()
    return true
  },
})
// A port that is listened to keeps the thread alive.
parentPort?.on('message', () => {})
parentPort?.postMessage('ready')
