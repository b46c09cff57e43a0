import type { ScanMap } from '@walrus-log/actors'

/** Touches every record, as the case `read` does. */
const map: ScanMap<Uint8Array, number> = (batches) => {
  let bytes = 0
  for (const batch of batches) for (const record of batch) bytes += record.bytes!.length
  return bytes
}

export default map
