import { parentPort } from 'node:worker_threads'
import { TASKS, type TaskReply, type TaskRequest } from './tasks.js'

// The entry of every thread that the bench starts for itself.
const port = parentPort!
port.on('message', async ({ name, input }: TaskRequest) => {
  let reply: TaskReply
  try {
    reply = { ok: true, value: await TASKS[name](input as never) }
  } catch (error) {
    reply = { ok: false, error: error as Error }
  }
  port.postMessage(reply)
})
