import { WalrusError } from '../errors.js'
import { FORMAT_VERSION } from './layout.js'
import type { Region } from './region.js'

/** Throws `FORMAT_VERSION` where a state file has another version, or something in its reserved bytes. */
export function requireKnownState(
  region: Region,
  version: number,
  reservedFrom: number,
  reservedTo: number,
  file: string,
): void {
  let reserved = 0
  for (let byte = reservedFrom; byte < reservedTo; byte++) reserved |= region.u8[byte]
  if (version === FORMAT_VERSION && reserved === 0) return
  throw new WalrusError(
    'FORMAT_VERSION',
    `${file} has state format ${version}${reserved === 0 ? '' : ' with unknown fields'}, this version reads ${FORMAT_VERSION}; open it with the version that wrote it`,
    { file },
  )
}
