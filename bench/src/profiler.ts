import { Session } from 'node:inspector'

/** What is kept of a node of a CPU profile. */
interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
  children?: number[]
}

interface CpuProfile {
  nodes: ProfileNode[]
  samples: number[]
  timeDeltas: number[]
}

interface WorkerMessage {
  id: number
  result?: { profile?: CpuProfile }
}

/** A thread's functions by their own time. */
export interface ThreadProfile {
  thread: string
  seconds: number
  functions: { name: string; place: string; share: number }[]
}

const START_ID = 2
const STOP_ID = 3
const SAMPLING_MICROSECONDS = 200
/** Longest wait for a thread that may have ended in the meantime. */
const STOP_MS_MAX = 2_000

/**
 * Takes CPU profiles of all threads of the process at once. `--cpu-prof` does not reach worker threads that are started
 * with an `execArgv` of their own, as the log's are; the inspector's NodeWorker domain reaches all of them, and one that
 * is blocked in `Atomics.wait` too.
 */
export class Profiler {
  readonly profiles: ThreadProfile[] = []
  readonly #session = new Session()
  readonly #running = new Map<string, string>()
  readonly #stopping = new Map<string, () => void>()

  async start(): Promise<void> {
    this.#session.connect()
    this.#session.on('NodeWorker.attachedToWorker', ({ params }) => {
      this.#running.set(params.sessionId, params.workerInfo.title)
      this.#send(params.sessionId, 0, 'Profiler.enable')
      this.#send(params.sessionId, 1, 'Profiler.setSamplingInterval', { interval: SAMPLING_MICROSECONDS })
      this.#send(params.sessionId, START_ID, 'Profiler.start')
    })
    this.#session.on('NodeWorker.receivedMessageFromWorker', ({ params }) =>
      this.#receive(params.sessionId, params.message),
    )
    await this.#post('NodeWorker.enable', { waitForDebuggerOnStart: false })
    await this.#post('Profiler.enable')
    await this.#post('Profiler.setSamplingInterval', { interval: SAMPLING_MICROSECONDS })
    await this.#post('Profiler.start')
  }

  /** Ends the profiles of all worker threads that run; to be called before they end. */
  async stop(): Promise<void> {
    const stopped = [...this.#running.keys()].map((session) => {
      return new Promise<void>((resolve) => {
        this.#stopping.set(session, resolve)
        this.#send(session, STOP_ID, 'Profiler.stop')
      })
    })
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_MS_MAX)
    })
    await Promise.race([Promise.all(stopped), tooLong])
    clearTimeout(timer)
    this.#running.clear()
  }

  /** Ends the main thread's profile too. */
  async end(): Promise<void> {
    await this.stop()
    const { profile } = (await this.#post('Profiler.stop')) as { profile: CpuProfile }
    this.profiles.push(summarize('main thread', profile))
    this.#session.disconnect()
  }

  #receive(session: string, text: string): void {
    const message = JSON.parse(text) as WorkerMessage
    if (message.id !== STOP_ID) return
    const profile = message.result?.profile
    if (profile !== undefined) this.profiles.push(summarize(this.#running.get(session) ?? session, profile))
    this.#stopping.get(session)?.()
  }

  #send(sessionId: string, id: number, method: string, params?: object): void {
    this.#session.post('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id, method, params }) })
  }

  #post(method: string, params: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, params, (error, result) => (error === null ? resolve(result) : reject(error)))
    })
  }
}

/** Adds up the time of samples by the function that was on top. */
function summarize(thread: string, profile: CpuProfile): ThreadProfile {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const byFunction = new Map<string, { name: string; place: string; microseconds: number }>()
  let total = 0
  for (const [index, id] of profile.samples.entries()) {
    const { functionName, url, lineNumber } = nodes.get(id)!.callFrame
    const name = isLoading(functionName, url) ? '(loading modules)' : functionName === '' ? '(anonymous)' : functionName
    const place = url === '' || isLoading(functionName, url) ? '' : `${shortUrl(url)}:${lineNumber + 1}`
    const microseconds = profile.timeDeltas[index]
    const key = `${name} ${place}`
    const known = byFunction.get(key)
    if (known === undefined) byFunction.set(key, { name, place, microseconds })
    else known.microseconds += microseconds
    total += microseconds
  }
  const functions = [...byFunction.values()]
    .sort((left, right) => right.microseconds - left.microseconds)
    .map(({ name, place, microseconds }) => ({ name, place, share: microseconds / total }))
  return { thread, seconds: total / 1e6, functions }
}

/** The work of a thread's start, all of it as one. */
function isLoading(functionName: string, url: string): boolean {
  return /^node:internal\/(modules|bootstrap|deps|url)/.test(url) || LOADING_FUNCTIONS.has(functionName)
}

const LOADING_FUNCTIONS = new Set(['compileSourceTextModule', 'compileFunction', 'internalModuleStat', 'wrapSafe'])

function shortUrl(url: string): string {
  return url.replace(/^file:\/\//, '').replace(/^.*\/(packages|bench|node_modules)\//, '$1/')
}
