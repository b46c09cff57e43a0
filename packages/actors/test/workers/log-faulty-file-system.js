import path from 'node:path'
import { getEnvironmentData, workerData } from 'node:worker_threads'
import { NodeFileSystem } from '@walrus-log/core'

// A FileSystem over the host's own that fails, blocks or dies at a chosen call in a writer's threads. What it does is
// said in shared words (`faults.ts` has their meaning), since it is loaded in threads that nobody else gets into.

/** @typedef {import('@walrus-log/core').FileSystem} FileSystem */
/** @typedef {import('@walrus-log/core').OpenFile} OpenFile */

const buffer = /** @type {SharedArrayBuffer | undefined} */ (getEnvironmentData('walrus-test-faults'))
const words = new Int32Array(buffer ?? new ArrayBuffer(64))
const [ACTION, ROLES, KINDS, LEFT, TIMES, WHEN, GATE, BLOCKED, COUNT, FIRED, LOG_LENGTH, CODE, THEN] = Array(13).keys()
const LOG_AT = 16
const LOG_NUMBERS = 4

const KIND_NAMES = ['create', 'write', 'sync', 'truncate', 'syncDirectory', 'rename', 'remove', 'look']
const CODES = ['', 'ENOSPC', 'EIO']
// A writer's thread is started with what it goes on with, its sync thread without; the pool's threads have neither.
const data = /** @type {{ resume?: unknown, sync?: unknown } | null} */ (workerData)
const role = data?.resume !== undefined ? 1 : data?.sync !== undefined ? 2 : 4

/** @template Result @param {string} name @param {string} file @param {() => Result} call @returns {Result} */
function faulty(name, file, call) {
  const kind = KIND_NAMES.indexOf(name)
  if ((words[ROLES] & role) === 0 || (words[KINDS] & (1 << kind)) === 0) {
    const result = call()
    if (name !== 'look' && role !== 4) note(kind, file, 0)
    return result
  }
  while (Atomics.load(words, GATE) === 1) {
    Atomics.add(words, BLOCKED, 1)
    Atomics.notify(words, BLOCKED)
    Atomics.wait(words, GATE, 1)
    Atomics.sub(words, BLOCKED, 1)
  }
  Atomics.add(words, COUNT, 1)
  const isHit = words[ACTION] !== 0 && Atomics.sub(words, LEFT, 1) <= 1 && Atomics.sub(words, TIMES, 1) > 0
  if (isHit && words[WHEN] === 0) hit(kind, file)
  const result = call()
  note(kind, file, 0)
  if (isHit && words[WHEN] === 1) hit(kind, file)
  return result
}

/** @param {number} kind @param {string} file */
function hit(kind, file) {
  Atomics.add(words, FIRED, 1)
  note(kind, file, 1)
  switch (words[ACTION]) {
    case 1:
      throw new Error('a bug in the file system')
    case 2:
      if (words[THEN] > 0) {
        // The writer is then to die at one of the next calls, in the middle of what it does about the failure.
        words.set([4, 1, 255, words[THEN], 1, 0])
        words[THEN] = 0
      }
      throw Object.assign(new Error('the disk failed'), { code: CODES[words[CODE]] })
    case 3:
      return process.exit(0)
    case 4:
      return process.exit(1)
    case 5: {
      /** @type {unknown[]} */
      const kept = []
      for (;;) kept.push(Array.from({ length: 1000 }, () => ({ kept })))
    }
  }
}

/** @param {number} kind @param {string} file @param {number} failed */
function note(kind, file, failed) {
  const at = LOG_AT + Atomics.add(words, LOG_LENGTH, 1) * LOG_NUMBERS
  if (at + LOG_NUMBERS > words.length) return
  const name = path.basename(file)
  words.set([kind, failed, name.endsWith('.log') ? Number.parseInt(name, 10) : -1, role], at)
}

/** @param {OpenFile} inner @param {string} file @returns {OpenFile} */
function faultyFile(inner, file) {
  return {
    read: (target, offset, length, position) =>
      faulty('look', file, () => inner.read(target, offset, length, position)),
    write: (source, offset, length, position) =>
      faulty('write', file, () => inner.write(source, offset, length, position)),
    writeMany: (views, position) => faulty('write', file, () => inner.writeMany(views, position)),
    sync: () => faulty('sync', file, () => inner.sync()),
    truncate: (length) => faulty('truncate', file, () => inner.truncate(length)),
    size: () => inner.size(),
    close: () => inner.close(),
  }
}

/** @returns {FileSystem} */
export default function makeFileSystem() {
  const inner = new NodeFileSystem()
  return {
    open: (file, mode) =>
      faultyFile(
        faulty(mode === 'create' ? 'create' : 'look', file, () => inner.open(file, mode)),
        file,
      ),
    list: (directory) => faulty('look', directory, () => inner.list(directory)),
    makeDirectory: (directory) => inner.makeDirectory(directory),
    syncDirectory: (directory) => faulty('syncDirectory', directory, () => inner.syncDirectory(directory)),
    rename: (from, to) => faulty('rename', to, () => inner.rename(from, to)),
    remove: (file) => faulty('remove', file, () => inner.remove(file)),
    removeTree: (directory) => inner.removeTree(directory),
    exists: (file) => faulty('look', file, () => inner.exists(file)),
  }
}
