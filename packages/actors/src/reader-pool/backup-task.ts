import type { MessagePort } from 'node:worker_threads'
import { type BackupReport, backupLog, lockDirectory } from '@walrus-log/core'
import { encodeError } from '../message/error-codec.js'
import { loadFileSystem } from '../writer/file-system.js'
import type { EncodedError } from '../writer/messages.js'

export interface BackupRequest {
  fileSystem: string | undefined
  /** The namespace's, and its place in the backup. */
  directory: string
  target: string
  verify: boolean
  /** Is told `BackupProgress` now and then. */
  progress: MessagePort
  /** One word: not 0 once it is to stop. */
  stop: SharedArrayBuffer
}

export type BackupReply = { ok: true; report: BackupReport | 'stopped' } | { ok: false; error: EncodedError }

const TELL_MS = 50

/** Runs a backup in a thread that may wait for a disk. What it leaves where it is stopped, the next one goes on with. */
export async function backup(request: BackupRequest): Promise<BackupReply> {
  const { directory, target, verify, progress } = request
  const stop = new Int32Array(request.stop)
  try {
    const fs = await loadFileSystem(request.fileSystem)
    fs.makeDirectory(target)
    const lock = lockDirectory(target)
    try {
      const steps = backupLog({ fs, directory, target, verify, nowMs: Date.now() })
      let toldMs = 0
      for (;;) {
        if (Atomics.load(stop, 0) !== 0) return { ok: true, report: 'stopped' }
        const step = steps.next()
        if (step.done) return { ok: true, report: step.value }
        const nowMs = performance.now()
        if (nowMs - toldMs < TELL_MS) continue
        toldMs = nowMs
        progress.postMessage({ ...step.value })
      }
    } finally {
      lock.release()
    }
  } catch (error) {
    return { ok: false, error: encodeError(error) }
  } finally {
    progress.close()
  }
}
