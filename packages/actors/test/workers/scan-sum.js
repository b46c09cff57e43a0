import { threadId } from 'node:worker_threads'

/**
 * Sums numbers, and says in which threads.
 *
 * @param {Iterable<Iterable<{ value: number, offset: number, partition: number }>>} batches
 * @param {{ topic: string, partition: number, args: { factor: number } }} info
 */
export default async function sum(batches, { topic, partition, args }) {
  let total = 0
  let count = 0
  for (const batch of batches) {
    for (const record of batch) {
      total += record.value * args.factor
      count++
    }
  }
  return { total, count, topics: [topic], partitions: [partition], threads: [threadId] }
}
