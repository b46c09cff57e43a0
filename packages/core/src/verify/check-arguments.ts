import { WalrusError } from '../errors.js'
import { shown } from '../shown.js'
import type { FileSystem } from '../storage/file-system.js'

/** Throws `INVALID_ARGUMENT` unless it is a file system's object. */
export function checkFileSystem(fs: FileSystem): void {
  if (readField(fs, 'open') instanceof Function && readField(fs, 'list') instanceof Function) return
  throw refusal('fs', `a FileSystem is needed, ${shown(fs)} was given; pass a NodeFileSystem`)
}

/** Throws `INVALID_ARGUMENT` unless it can be a path. */
export function checkPath(field: string, name: unknown): asserts name is string {
  if (typeof name === 'string' && name !== '' && !name.includes('\0')) return
  throw refusal(field, `${field} is a path, ${shown(name)} was given; name what is to be read`)
}

/** Copies the fields of `options` by name, each read once. Throws `INVALID_ARGUMENT` where there are none to be read. */
export function takeFields<Options extends object>(
  options: Options,
  names: readonly (keyof Options & string)[],
): Options {
  try {
    if (typeof options === 'object' && options !== null) {
      return Object.fromEntries(names.map((name) => [name, options[name]])) as Options
    }
  } catch (cause) {
    throw refusal('options', 'the options cannot be read; pass an object of plain fields', cause)
  }
  throw refusal('options', `options are an object, ${shown(options)} was given; pass one`)
}

export function refusal(field: string, message: string, cause?: unknown): WalrusError {
  return new WalrusError('INVALID_ARGUMENT', message, { field, cause })
}

function readField(target: unknown, name: string): unknown {
  try {
    return (target as Record<string, unknown> | null | undefined)?.[name]
  } catch {
    return undefined
  }
}
