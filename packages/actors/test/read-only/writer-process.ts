import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { OpenOptions, TopicOptions } from '#actors/index.js'
import { startProcess } from '../log/fixture.js'

/** A log that another process writes. */
export class WriterProcess {
  readonly child: ChildProcess

  private constructor(child: ChildProcess) {
    this.child = child
  }

  static async start(
    directory: string,
    {
      options = {},
      topic = 't',
      topicOptions = {},
    }: { options?: OpenOptions; topic?: string; topicOptions?: TopicOptions } = {},
  ): Promise<WriterProcess> {
    const argument = {
      directory,
      options: { durability: 'os', writerThreadsMax: 1, ...options },
      topic,
      topicOptions: { codec: 'utf8', ...topicOptions },
    }
    const writer = new WriterProcess(startProcess('writer-process', argument))
    await writer.#answer()
    return writer
  }

  async ask<Value>(call: string, request: object = {}): Promise<Value> {
    this.child.send({ call, ...request })
    return (await this.#answer()) as Value
  }

  append(...values: string[]): Promise<number[]> {
    return this.ask('append', { values })
  }

  async close(): Promise<void> {
    const end = once(this.child, 'close')
    this.child.send({ call: 'close' })
    await end
  }

  async kill(): Promise<void> {
    const end = once(this.child, 'close')
    this.child.kill('SIGKILL')
    await end
  }

  async #answer(): Promise<unknown> {
    const [{ value, error }] = (await once(this.child, 'message')) as [{ value?: unknown; error?: string }]
    if (error !== undefined) throw new Error(error)
    return value
  }
}
