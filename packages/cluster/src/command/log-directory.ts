import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { checkName, LOCK_FILE, WalrusError } from '@walrus-log/core'
import type { CommonOptions } from './context.js'

const NAMESPACE_DEFAULT = 'default'

/**
 * Where the log is that `--dir` and `--namespace` name, which must be there already: opening one that is not would make it.
 * Throws `INVALID_ARGUMENT`, and names what is there instead.
 */
export function existingLogDirectory({ dir, namespace = NAMESPACE_DEFAULT }: CommonOptions): string {
  checkName('namespace', namespace)
  const directory = path.resolve(dir, namespace)
  if (isDirectory(directory)) return directory
  if (isLog(dir)) {
    const full = path.resolve(dir)
    const options = `--dir ${path.dirname(full)} --namespace ${path.basename(full)}`
    throw refused('dir', `${dir} is a namespace itself, name the directory that it is in: ${options}`)
  }
  const namespaces = isDirectory(dir) ? readdirSync(dir).filter((name) => isLog(path.join(dir, name))) : []
  if (namespaces.length === 0) throw refused('dir', `there is no log in ${dir}; --dir names its directory`)
  throw refused(
    'namespace',
    `there is no namespace ${JSON.stringify(namespace)} in ${dir}; --namespace names one, there are: ${namespaces.sort().join(', ')}`,
  )
}

function isDirectory(file: string): boolean {
  return existsSync(file) && statSync(file).isDirectory()
}

/** Whoever opens a log begins with its lock. */
function isLog(directory: string): boolean {
  return existsSync(path.join(directory, LOCK_FILE))
}

function refused(field: string, message: string): WalrusError {
  return new WalrusError('INVALID_ARGUMENT', message, { field })
}
