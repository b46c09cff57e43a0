// A verifier's thread: reads partitions back and sums up what is in them.

import { workerData } from 'node:worker_threads'
import { type Topic, Walrus } from '@walrus-log/actors'
import { addRecord, type Chain, chainNext, emptyContent, recordHash } from '../checksum.js'
import { type Answer, serve } from '../thread/serve.js'
import type { VerifierWorkerData, VerifyReply, VerifyRequest } from './messages.js'

const { handle, topic: topicName, progress } = workerData as VerifierWorkerData
const recordsRead = new BigUint64Array(progress)

const NO_BYTES = new Uint8Array(0)

async function verify(topic: Topic, request: VerifyRequest): Promise<Answer<VerifyReply>> {
  const { partition, from, next } = request
  const content = emptyContent()
  const chains = new Map<number, Chain>()
  const sequencesOf = new Map(request.producers.map(({ producerId, sequences }) => [producerId, sequences]))
  for (const producerId of sequencesOf.keys())
    chains.set(producerId, { partition, producerId, stream: -1, records: 0, chain: 0 })
  if (from === next) return { reply: { content, chains: [] } }
  for await (const batch of topic.read({ from, partition })) {
    if (batch.baseOffset >= next) break
    // What is missing shows in the counts.
    if (batch.gap !== undefined) continue
    const chain = chains.get(batch.producerId)
    if (!chain) continue
    const { sequenceFirst } = batch
    const ranges = sequencesOf.get(batch.producerId)!
    if (!ranges.some(([first, end]) => sequenceFirst >= first && sequenceFirst < end)) continue
    for (const record of batch) {
      const { key } = record
      const bytes = record.bytes ?? NO_BYTES
      const hash = recordHash(bytes, key)
      addRecord(content, bytes.length + (key?.length ?? 0), hash)
      chain.chain = chainNext(chain.chain, hash)
      chain.records++
    }
    Atomics.add(recordsRead, 0, BigInt(batch.count))
  }
  return { reply: { content, chains: [...chains.values()].filter(({ records }) => records > 0) } }
}

serve<VerifyRequest, VerifyReply>(async () => {
  const walrus = await Walrus.attach(handle)
  const topic = await walrus.topic(topicName)
  const service = { handle: (request: VerifyRequest) => verify(topic, request), close: () => walrus.close() }
  return { service, reply: { content: emptyContent(), chains: [] } }
})
