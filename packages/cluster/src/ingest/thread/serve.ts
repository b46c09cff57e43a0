import { parentPort } from 'node:worker_threads'
import { ownWords } from '@walrus-log/core'
import { encodeError } from './error-message.js'

/** What a handler answers with; the buffers named in `transfer` go along without a copy. */
export interface Answer<Reply> {
  reply: Reply
  transfer?: ArrayBuffer[]
}

export interface Service<Request, Reply> {
  handle(request: Request): Promise<Answer<Reply>>
  close(): Promise<void>
}

/** The worker's side of `Thread`. */
export function serve<Request, Reply>(start: () => Promise<{ service: Service<Request, Reply>; reply: Reply }>): void {
  const port = parentPort!
  let isFailed = false

  async function attempt(work: () => Promise<void>): Promise<void> {
    if (isFailed) return
    try {
      await work()
    } catch (error) {
      isFailed = true
      port.postMessage({ error: encodeError(error) })
    }
  }

  let service: Service<Request, Reply> | undefined
  let queue = attempt(async () => {
    const started = await start()
    service = started.service
    port.postMessage({ reply: started.reply })
  })
  port.on('message', ({ request, end }: { request?: Request; end?: boolean }) => {
    queue = queue.then(async () => {
      if (end) {
        // Closing is not the caller's business any more: a failure before has been told, and hides a later one.
        await service?.close().catch(() => {})
        port.close()
        return
      }
      await attempt(async () => {
        const { reply, transfer } = await service!.handle(ownWords(request as Request))
        port.postMessage({ reply }, transfer ?? [])
      })
    })
  })
}
