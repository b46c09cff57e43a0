// A producer's thread: parses the chunks that it is given and sends their records. See `messages.ts` for the protocol.

import { workerData } from 'node:worker_threads'
import { Walrus } from '@walrus-log/actors'
import { addRecord, emptyContent, recordHash } from '../checksum.js'
import { countNewlines } from '../feed/boundaries.js'
import { parseChunk } from '../parse/parse-chunk.js'
import { ChunkRejects } from '../parse/rejects.js'
import { type Answer, type Service, serve } from '../thread/serve.js'
import {
  type ChunkReply,
  emptyChunkReply,
  type Pack,
  type ProducerReply,
  type ProducerRequest,
  type ProducerWorkerData,
} from './messages.js'
import { Packer } from './packer.js'
import { isTooLarge, RecordSender } from './record-sender.js'

type ParseRequest = Extract<ProducerRequest, { kind: 'parse' }>

function keyBytes(key: string | undefined): number {
  return key === undefined ? 0 : Buffer.byteLength(key)
}

class ProducerService implements Service<ProducerRequest, ProducerReply> {
  readonly #walrus: Walrus
  readonly #sender: RecordSender

  constructor(walrus: Walrus, sender: RecordSender) {
    this.#walrus = walrus
    this.#sender = sender
  }

  async handle(request: ProducerRequest): Promise<Answer<ProducerReply>> {
    switch (request.kind) {
      case 'parse':
        return request.packing ? this.#pack(request, request.packing) : this.#parseAndSend(request)
      case 'send':
        return { reply: await this.#send(request.pack) }
      case 'begin':
        for (const { stream, records } of request.there) this.#sender.skip(stream, records)
        return { reply: emptyChunkReply() }
      case 'flush':
        return { reply: await this.#sender.flush() }
    }
  }

  async close(): Promise<void> {
    await this.#sender.close()
    await this.#walrus.close()
  }

  async #parseAndSend({ input, stream }: ParseRequest): Promise<Answer<ChunkReply>> {
    const rejects = new ChunkRejects()
    const content = emptyContent()
    const there = emptyContent()
    for (const { value, key, position } of parseChunk(input, rejects)) {
      const hash = recordHash(value, key)
      try {
        let sent = this.#sender.trySend(stream, value, key, hash)
        for (; sent === 'full'; sent = this.#sender.trySend(stream, value, key, hash)) await this.#sender.ready()
        addRecord(content, value.length + keyBytes(key), hash)
        if (sent === 'there') addRecord(there, value.length + keyBytes(key), hash)
      } catch (error) {
        if (!isTooLarge(error)) throw error
        rejects.add(input.bytes, position, error.message)
      }
    }
    const { bytes, length } = input
    const reply: ChunkReply = {
      ...emptyChunkReply(),
      bytes,
      newlines: countNewlines(bytes, 0, length),
      content,
      there,
      rejectsCount: rejects.count,
      rejects: rejects.described,
    }
    return { reply, transfer: [bytes.buffer] }
  }

  #pack({ input, stream }: ParseRequest, packing: NonNullable<ParseRequest['packing']>): Answer<ChunkReply> {
    const { bytes, length } = input
    const rejects = new ChunkRejects()
    const packer = new Packer(bytes, { stream, partitions: packing.partitions })
    for (const record of parseChunk(input, rejects)) {
      // A reject is known once the parser has gone on to the next good record, which is one too far for a strict run.
      if (packing.isStrict && rejects.count > 0) break
      packer.add(record)
    }
    const readBytes = packing.isStrict ? (rejects.firstPosition ?? length) : length
    const packs = packer.build()
    const reply: ChunkReply = {
      ...emptyChunkReply(),
      bytes,
      newlines: countNewlines(bytes, 0, readBytes),
      unreadBytes: length - readBytes,
      rejectsCount: packing.isStrict ? Math.min(rejects.count, 1) : rejects.count,
      rejects: packing.isStrict ? rejects.described.slice(0, 1) : rejects.described,
      packs,
    }
    const packBuffers = packs.flatMap(({ values, ends, lines }) => [values.buffer, ends.buffer, lines.buffer])
    return { reply, transfer: [bytes.buffer, ...packBuffers] }
  }

  async #send(pack: Pack): Promise<ChunkReply> {
    const rejects = new ChunkRejects()
    const content = emptyContent()
    const there = emptyContent()
    const { stream } = pack
    let start = 0
    for (let index = 0; index < pack.ends.length; index++) {
      const value = pack.values.subarray(start, pack.ends[index])
      const key = pack.keys?.[index]
      const hash = recordHash(value, key)
      start = pack.ends[index]
      try {
        let sent = this.#sender.trySend(stream, value, key, hash)
        for (; sent === 'full'; sent = this.#sender.trySend(stream, value, key, hash)) await this.#sender.ready()
        addRecord(content, value.length + keyBytes(key), hash)
        if (sent === 'there') addRecord(there, value.length + keyBytes(key), hash)
      } catch (error) {
        if (!isTooLarge(error)) throw error
        rejects.addLine(() => pack.lines[index], error.message)
      }
    }
    return { ...emptyChunkReply(), content, there, rejectsCount: rejects.count, rejects: rejects.described }
  }
}

serve<ProducerRequest, ProducerReply>(async () => {
  const { handle, topic: name, streams } = workerData as ProducerWorkerData
  const walrus = await Walrus.attach(handle)
  const topic = await walrus.topic(name)
  const sender = await RecordSender.open(topic, streams)
  const nexts = streams[0]?.producerId === undefined ? [] : sender.nexts()
  return { service: new ProducerService(walrus, sender), reply: { kind: 'started', nexts } }
})
