import { statSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { WalrusError } from '@walrus-log/core'
import { delimiterOfName, type Format, formatOfName } from './format.js'

/** Something to read records from. */
export interface Input {
  /** As it is shown. */
  name: string
  /** Null: standard input. */
  path: string | null
  /** Null where nobody knows before the end. */
  sizeBytes: number | null
  /** Undefined: to be told from the content. */
  format: Format | undefined
  delimiter: string
}

export const STANDARD_INPUT = '-'

/** Looks at what was named, and refuses what cannot be read, before anything is written. */
export async function findInputs(
  files: readonly string[],
  format: Format | undefined,
  delimiter: string | undefined,
): Promise<Input[]> {
  if (files.filter((file) => file === STANDARD_INPUT).length > 1) throw refused('standard input can be read once only')
  const inputs: Input[] = []
  for (const file of files) {
    if (file === STANDARD_INPUT) {
      inputs.push({ name: '<stdin>', path: null, sizeBytes: null, format, delimiter: delimiter ?? ',' })
      continue
    }
    const sizeBytes = await checkFile(file)
    const formatFound = format ?? formatOfName(file)
    inputs.push({
      name: file,
      path: file,
      sizeBytes,
      format: formatFound,
      delimiter: delimiter ?? delimiterOfName(file),
    })
  }
  return inputs
}

/** Its size, or null for a pipe or the like. */
async function checkFile(file: string): Promise<number | null> {
  try {
    const stats = await stat(file)
    if (stats.isDirectory()) throw refused(`${file} is a directory; name the files in it`)
    if (!stats.isFile()) return null
    const handle = await open(file, 'r')
    try {
      // Files that the system makes up, as in /proc, have a size of 0 and bytes all the same.
      const isMadeUp = stats.size === 0 && (await handle.read(Buffer.alloc(1), 0, 1, 0)).bytesRead > 0
      return isMadeUp ? null : stats.size
    } finally {
      await handle.close()
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (error instanceof WalrusError) throw error
    if (code === 'ENOENT') throw refused(`there is no file ${file}`)
    if (code === 'EACCES' || code === 'EPERM') throw refused(`${file} cannot be read: permission denied`)
    throw refused(`${file} cannot be read: ${message}`)
  }
}

function refused(message: string): WalrusError {
  return new WalrusError('INVALID_ARGUMENT', `${message}; nothing was written`, { field: 'files' })
}

/** The flights of the npm package `vega-datasets`, which a clone of this repository installs. */
export function flightsInput(): Input {
  const file = 'data/flights-200k.json'
  try {
    // The package exports its entry only; the data lies beside the folder that the entry is in.
    const entry = createRequire(import.meta.url).resolve('vega-datasets')
    const path = join(dirname(dirname(entry)), file)
    const sizeBytes = statSync(path).size
    return { name: `vega-datasets/${file}`, path, sizeBytes, format: 'json', delimiter: ',' }
  } catch {
    throw refused(
      "the flights of the package 'vega-datasets', taken where no file is named, are not installed: name a FILE, or -",
    )
  }
}
