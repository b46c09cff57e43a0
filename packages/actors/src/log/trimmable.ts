import { WalrusError } from '@walrus-log/core'
import type { PartitionPlace, TopicPlace } from './place.js'

/**
 * Refuses a trim before an offset that cannot be: an offset is one partition's, so that for several only a time or the
 * end says what is meant, and none lies beyond the end.
 */
export function requireTrimmable(
  { config: { name, partitions } }: TopicPlace,
  places: readonly PartitionPlace[],
  before: number,
  nextOf: (slot: number) => number,
): void {
  if (places.length > 1) {
    throw new WalrusError(
      'INVALID_ARGUMENT',
      `topic ${name} has ${partitions} partitions with offsets of their own; say which one is to be trimmed before ${before}`,
      { field: 'partition' },
    )
  }
  const next = nextOf(places[0].slot)
  if (before <= next) return
  throw new WalrusError(
    'OFFSET_OUT_OF_RANGE',
    `partition ${places[0].partition} of ${name} ends at offset ${next}, it cannot be trimmed before ${before}; trim before ${next} to forget all of it`,
    { next },
  )
}
