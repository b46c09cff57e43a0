import { Worker } from 'node:worker_threads'
import type { Settings } from './settings.js'
import type { TaskName, TaskReply, Tasks } from './workers/tasks.js'

const ENTRY = new URL('./workers/task.worker.js', import.meta.url)

/** A thread that does tasks one after the other. */
export interface TaskThread {
  call<Name extends TaskName>(name: Name, input: Parameters<Tasks[Name]>[0]): Promise<Awaited<ReturnType<Tasks[Name]>>>
  end(): Promise<void>
}

export function openThread(settings: Settings, title: string): TaskThread {
  const worker = new Worker(ENTRY, { name: title })
  let failure: Error | undefined
  let reject: (error: Error) => void = () => {}
  const fail = (error: Error): void => {
    failure = error
    reject(error)
  }
  worker.on('error', fail)
  worker.on('exit', (code) => fail(new Error(`the bench thread ${title} ended with code ${code}`)))
  return {
    call(name, input) {
      return new Promise((resolve, rejectCall) => {
        if (failure !== undefined) return rejectCall(failure)
        reject = rejectCall
        worker.once('message', (reply: TaskReply) => {
          if (reply.ok) resolve(reply.value as never)
          else rejectCall(reply.error)
        })
        worker.postMessage({ name, input })
      })
    },
    async end() {
      await settings.profiler?.stop()
      worker.removeAllListeners('exit')
      await worker.terminate()
    },
  }
}

/** Runs one task in a thread of its own, which begins cold and ends with it: no case inherits another's compiled code. */
export async function inThread<Name extends TaskName>(
  settings: Settings,
  name: Name,
  input: Parameters<Tasks[Name]>[0],
): Promise<Awaited<ReturnType<Tasks[Name]>>> {
  const thread = openThread(settings, name)
  try {
    return await thread.call(name, input)
  } finally {
    await thread.end()
  }
}
