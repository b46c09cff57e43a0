import { checksumSmall } from '../format/checksum.js'
import { hex } from '../format/index-file.js'
import { FORMAT_VERSION } from '../format/layout.js'
import { Region } from '../format/region.js'

/** `unchecked`: written by a version that put no checksum there. */
export type SettingsCheck = 'sound' | 'unchecked' | 'damaged'

/** A topic's settings as the bytes of its file: JSON for people, with a checksum over itself. */
export function encodeSettings(config: object): Uint8Array {
  return new TextEncoder().encode(withCheck({ version: FORMAT_VERSION, ...config }))
}

/** Whether the file's bytes are exactly those that this program writes for what they say. Not whether that can be. */
export function checkSettings(bytes: Uint8Array): SettingsCheck {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null) return 'damaged'
    const { check, ...settings } = parsed as Record<string, unknown>
    if (check === undefined) return Object.keys(settings).every((name) => UNCHECKED.has(name)) ? 'unchecked' : 'damaged'
    return text === withCheck(settings) ? 'sound' : 'damaged'
  } catch {
    return 'damaged'
  }
}

/** What a file without checksum may hold: all that there was before it. A checksum under a damaged name is not among it. */
const UNCHECKED: ReadonlySet<string> = new Set([
  'version',
  'name',
  'partitions',
  'codec',
  'durability',
  'segmentBytes',
  'segmentEntries',
  'createdMs',
])

function withCheck(settings: Record<string, unknown>): string {
  const bytes = new TextEncoder().encode(JSON.stringify(settings))
  const region = Region.allocate(bytes.length)
  region.u8.set(bytes)
  const check = hex(checksumSmall(region, 0, bytes.length))
  return `${JSON.stringify({ ...settings, check }, null, 2)}\n`
}
