import path from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { type BackupProgress, type BackupReport, shown, WalrusError } from '@walrus-log/core'
import { z } from 'zod'
import { ReaderPool } from '../reader-pool/reader-pool.js'
import { check } from './options.js'

const backupOptions = z.strictObject({
  /** Read what was copied once more, and check every batch. */
  verify: z.boolean().default(true),
  signal: z.instanceof(AbortSignal).optional(),
  /** Is told now and then how far it is. */
  onProgress: z.custom<(progress: BackupProgress) => void>((value) => typeof value === 'function').optional(),
})

export type BackupOptions = z.input<typeof backupOptions>

/** See `Walrus.backup`. Works in a thread of its own, in whichever thread it is called. */
export async function runBackup(
  directory: string,
  target: string,
  fileSystem: string | undefined,
  options: BackupOptions,
): Promise<BackupReport> {
  const { verify, signal, onProgress } = check(backupOptions, options)
  if (typeof target !== 'string' || target === '' || target.includes('\0')) {
    throw new WalrusError('INVALID_ARGUMENT', `the directory of a backup is a path, ${shown(target)} was given`, {
      field: 'target',
    })
  }
  const place = path.join(path.resolve(target), path.basename(directory))
  if (!path.relative(directory, place).startsWith('..')) {
    throw new WalrusError('INVALID_ARGUMENT', `${target} is the log itself, or in it; back up to another directory`, {
      field: 'target',
    })
  }
  signal?.throwIfAborted()
  const pool = new ReaderPool(directory, fileSystem)
  const { port1, port2 } = new MessageChannel()
  if (onProgress !== undefined) port1.on('message', onProgress)
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const abort = (): void => void Atomics.store(stop, 0, 1)
  signal?.addEventListener('abort', abort)
  try {
    const report = await pool.backup({ target: place, verify, progress: port2, stop: stop.buffer as SharedArrayBuffer })
    if (report !== 'stopped') return report
    throw signal?.reason
  } finally {
    signal?.removeEventListener('abort', abort)
    port1.close()
    await pool.close()
  }
}
