// Runs in a thread of the pool. Batches are read and checked as the loop goes on; nothing is kept but the counts.

/** @type {import('@walrus-log/actors').ScanMap<{ origin: string, delayMinutes: number }, Record<string, number>>} */
export default function byOrigin(batches, { args }) {
  const { delayMinutesMin } = /** @type {{ delayMinutesMin: number }} */ (args)
  /** @type {Record<string, number>} */
  const counts = {}
  for (const batch of batches) {
    for (const { value } of batch) {
      if (value.delayMinutes >= delayMinutesMin) counts[value.origin] = (counts[value.origin] ?? 0) + 1
    }
  }
  return counts
}
