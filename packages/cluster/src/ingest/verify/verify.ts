import { availableParallelism } from 'node:os'
import type { WalrusHandle } from '@walrus-log/actors'
import { addContent, type Chain, type ContentCheck, emptyContent, isSameContent } from '../checksum.js'
import { Thread } from '../thread/thread.js'
import type { VerifierWorkerData, VerifyReply, VerifyRequest } from './messages.js'

/** How often `onProgress` is told while the verifiers read. */
const PROGRESS_MS = 100

export interface VerifyOptions {
  handle: WalrusHandle
  topic: string
  /** What this run appended to: offsets before and after it. */
  ranges: { partition: number; from: number; next: number }[]
  /** What the producers sent, in order; and in which sequences of theirs it is, where that is not all of them. */
  chainsSent: Chain[]
  sequencesOf?: (chain: Chain) => [number, number][]
  /** What the source holds. */
  contentSource: ContentCheck
  /** `seconds` since a thread was up and began to read. Not called before. */
  onProgress(records: number, seconds: number): void
  signal: AbortSignal | undefined
}

/**
 * Reads back what a run has written, the partitions in parallel, and compares it with the source and with what the
 * producers sent. Returns what differs: nothing, if all is well. Rejects with the signal's reason.
 */
export async function verify(options: VerifyOptions): Promise<string[]> {
  const { handle, topic, ranges, signal } = options
  signal?.throwIfAborted()
  const tasks = ranges.filter(({ from, next }) => next > from)
  const progress = new SharedArrayBuffer(BigUint64Array.BYTES_PER_ELEMENT)
  const workerData: VerifierWorkerData = { handle, topic, progress }
  const url = new URL('./verifier.worker.js', import.meta.url)
  const threadsCount = Math.min(tasks.length, availableParallelism())
  const threads = Array.from({ length: threadsCount }, () => new Thread<VerifyRequest, VerifyReply>(url, workerData))
  let startMs: number | undefined
  const onStarted = () => {
    startMs ??= performance.now()
  }
  const tell = () => {
    if (startMs === undefined) return
    options.onProgress(Number(Atomics.load(new BigUint64Array(progress), 0)), (performance.now() - startMs) / 1000)
  }
  const timer = setInterval(tell, PROGRESS_MS)
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason)
    signal?.addEventListener('abort', stop)
  })
  aborted.catch(() => {})
  try {
    const replies = await Promise.race([readAll(threads, tasks, onStarted, options), aborted])
    tell()
    await Promise.all(threads.map((thread) => thread.end()))
    return differences(options, replies)
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', stop)
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
}

type Range = VerifyOptions['ranges'][number]

async function readAll(
  threads: Thread<VerifyRequest, VerifyReply>[],
  ranges: Range[],
  onStarted: () => void,
  { chainsSent, sequencesOf = () => [[0, Number.MAX_SAFE_INTEGER]] }: VerifyOptions,
): Promise<VerifyReply[]> {
  const waiting = [...ranges]
  const replies: VerifyReply[] = []
  await Promise.all(
    threads.map(async (thread) => {
      await thread.started()
      onStarted()
      for (let range = waiting.shift(); range; range = waiting.shift()) {
        const chains = chainsSent.filter(({ partition }) => partition === range.partition)
        const producers = chains.map((chain) => ({ producerId: chain.producerId, sequences: sequencesOf(chain) }))
        replies.push(await thread.call({ ...range, producers }))
      }
    }),
  )
  return replies
}

/** What is not as it should be, in words. */
export function differences(
  { chainsSent, contentSource }: Pick<VerifyOptions, 'chainsSent' | 'contentSource'>,
  replies: readonly VerifyReply[],
): string[] {
  const found: string[] = []
  const contentRead = emptyContent()
  for (const { content } of replies) addContent(contentRead, content)
  if (contentRead.records !== contentSource.records) {
    found.push(`${contentSource.records} records were taken from the source, ${contentRead.records} are in the log`)
  } else if (!isSameContent(contentRead, contentSource)) {
    found.push('the records in the log are not those of the source: their checksums differ')
  }
  const nameOf = ({ partition, producerId }: Chain) => `${partition}/${producerId}`
  const chainsRead = new Map(replies.flatMap(({ chains }) => chains.map((chain) => [nameOf(chain), chain] as const)))
  for (const sent of chainsSent) {
    const read = chainsRead.get(nameOf(sent))
    chainsRead.delete(nameOf(sent))
    const where = `partition ${sent.partition}, producer ${sent.producerId}`
    if ((read?.records ?? 0) !== sent.records) {
      found.push(`${where}: ${sent.records} records were sent, ${read?.records ?? 0} are in the log`)
    } else if ((read?.chain ?? 0) !== sent.chain) {
      found.push(`${where}: the ${sent.records} records in the log are not those sent, or not in that order`)
    }
  }
  for (const { partition, producerId, records } of chainsRead.values()) {
    found.push(`partition ${partition}, producer ${producerId}: ${records} records are in the log that were not sent`)
  }
  return found
}
