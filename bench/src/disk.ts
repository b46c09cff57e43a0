import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const IN_MEMORY = new Set(['tmpfs', 'ramfs'])
const CHUNK_BYTES = 1024 * 1024

/**
 * Makes this run's own directory: in `parent`, else in the system's temporary directory, else, where that one is memory and
 * no disk, in the repository's cache.
 */
export function makeRunDirectory(parent: string | undefined): string {
  const where = parent ?? (IN_MEMORY.has(fileSystemName(tmpdir())) ? repositoryCache() : tmpdir())
  mkdirSync(where, { recursive: true })
  return mkdtempSync(join(where, 'walrus-bench-'))
}

function repositoryCache(): string {
  return fileURLToPath(new URL('../../node_modules/.cache/bench/', import.meta.url))
}

export function removeTree(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
}

/** The file system that holds `directory`, as the mount table calls it; 'unknown' where there is no such table. */
export function fileSystemName(directory: string): string {
  let table: string
  try {
    table = readFileSync('/proc/self/mounts', 'utf8')
  } catch {
    return 'unknown'
  }
  const path = realpathSync(directory)
  let name = 'unknown'
  let longest = -1
  for (const line of table.split('\n')) {
    const [, mount, type] = line.split(' ')
    if (mount === undefined || mount.length <= longest) continue
    if (path !== mount && !path.startsWith(mount.endsWith('/') ? mount : `${mount}/`)) continue
    name = type
    longest = mount.length
  }
  return name
}

/**
 * Writes and deletes `bytes`. A host may have taken back pages that its guest left unused; the first to touch them pays
 * for it, and that would be whoever is measured first. Large plain writes pay the most: the baseline.
 */
export function warmMemory(directory: string, bytes: number): void {
  const file = join(directory, 'warm')
  const chunk = Buffer.alloc(CHUNK_BYTES, 1)
  const descriptor = openSync(file, 'w')
  for (let at = 0; at < bytes; at += CHUNK_BYTES) writeSync(descriptor, chunk, 0, CHUNK_BYTES, at)
  closeSync(descriptor)
  rmSync(file)
}

/** All files below `directory` whose name ends so, with their sizes, by name. */
export function filesBelow(directory: string, endings: readonly string[]): { path: string; bytes: number }[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .sort()
    .map((name) => ({ path: join(directory, name), bytes: statSync(join(directory, name)).size }))
}
