import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { NodeFileSystem, publishFile, readWholeFile, WalrusError, withCode } from '@walrus-log/core'
import { NEWLINE } from '../feed/boundaries.js'
import { emptyJournal, type Journal } from './journal.js'

const JOURNAL_FILE = 'ingest.json'
/** Version 1 put a last line without a newline into another stream. */
const VERSION = 2

/** Enough to tell two logs apart that begin alike, and little to read. */
const FINGERPRINT_BYTES = 64 * 1024

/** The journal in a topic's directory; empty where nothing was ingested from files. */
export function readJournal(directory: string): Journal {
  const file = join(directory, JOURNAL_FILE)
  const fs = new NodeFileSystem()
  if (!fs.exists(file)) return emptyJournal()
  let parsed: { version?: number; check?: number; sources?: Journal['sources'] } | null
  try {
    parsed = JSON.parse(Buffer.from(readWholeFile(fs, file)).toString())
  } catch {
    parsed = null
  }
  if (parsed?.version !== undefined && parsed.version !== VERSION) {
    throw new WalrusError(
      'FORMAT_VERSION',
      `${file} has version ${parsed.version}, this version reads ${VERSION}; ingest with the version that wrote it, or move the file away to begin anew`,
      { file },
    )
  }
  if (!Array.isArray(parsed?.sources) || crc32(JSON.stringify(parsed.sources)) !== parsed.check) {
    throw new WalrusError(
      'SEGMENT_CORRUPT',
      `${file} is not what this program wrote: how far files were ingested is not known; restore it from a copy, or move it away to begin anew`,
      { file, position: 0 },
    )
  }
  return { sources: parsed.sources }
}

/** Returns when it is on the disk. Throws `DISK_FULL` where that has no room; then the journal is what it was. */
export function writeJournal(directory: string, { sources }: Journal): void {
  const check = crc32(JSON.stringify(sources))
  const text = `${JSON.stringify({ version: VERSION, check, sources })}\n`
  try {
    publishFile(new NodeFileSystem(), directory, JOURNAL_FILE, Buffer.from(text))
  } catch (error) {
    throw withCode(error)
  }
}

/** Whether the first `bytes` of a file that is larger end with a line: with its newline, or just before it. */
export async function endsWithLine(path: string, bytes: number): Promise<boolean> {
  if (bytes === 0) return true
  const handle = await open(path, 'r')
  try {
    const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, bytes - 1)
    return buffer.includes(NEWLINE)
  } finally {
    await handle.close()
  }
}

/** Says whether the first `bytes` of a file are what they were: by those at both ends. */
export async function fingerprint(path: string, bytes: number): Promise<number> {
  const handle = await open(path, 'r')
  try {
    const length = Math.min(bytes, FINGERPRINT_BYTES)
    const head = Buffer.alloc(length)
    const tail = Buffer.alloc(length)
    const headRead = await handle.read(head, 0, length, 0)
    const tailRead = await handle.read(tail, 0, length, bytes - length)
    return crc32(tail.subarray(0, tailRead.bytesRead), crc32(head.subarray(0, headRead.bytesRead)))
  } finally {
    await handle.close()
  }
}
