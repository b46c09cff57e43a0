import path from 'node:path'
import { isWalrusError, systemErrorCode } from '../errors.js'
import { isName } from '../log/names.js'
import { clampRegistry, loadRegistry, REGISTRY_FILE } from '../log/producer-registry.js'
import { CONFIG_FILE, TopicStore } from '../log/topic-store.js'
import { type TopicView, viewTopic } from '../log/view-topic.js'
import type { FileSystem } from '../storage/file-system.js'
import { publishFile, readWholeFile } from '../storage/publish-file.js'
import { type BackupTally, backupBytes, backupPartition } from './backup-partition.js'

/** Holds places in topics: what it says must not be newer than they are. */
const CURSOR_TOPIC = '__cursors'

export interface BackupOptions {
  fs: FileSystem
  /** The namespace's directory, whether or not a process writes there. */
  directory: string
  /** The namespace's directory in the backup; its lock is held by the caller. */
  target: string
  /** Read what was copied once more, and check every batch. */
  verify: boolean
  nowMs: number
}

export interface BackupProgress {
  /** Bytes copied so far, and about how many there will be. */
  bytes: number
  bytesTotal: number
}

export interface BackupReport extends BackupTally {
  topics: number
  partitions: number
  records: number
}

interface Planned {
  view: TopicView
  settings: Uint8Array
  /** Other files of the topic's directory, as they were after the view. */
  others: Map<string, Uint8Array>
}

/**
 * Copies all topics of a log, each partition up to what is acknowledged as the call begins. The order makes the copy one
 * that a log could have been: places of consumer groups are taken first, so that none is past the data; then the data's
 * ends; then the names of producers, of which none is missing that has written below these.
 */
export function* backupLog(options: BackupOptions): Generator<BackupProgress, BackupReport, undefined> {
  const { fs, target, verify } = options
  const plans = planTopics(options)
  const progress: BackupProgress = { bytes: 0, bytesTotal: 0 }
  for (const { view } of plans) {
    for (const partition of view.partitions) {
      const place = path.join(target, view.config.name, String(partition.partition))
      progress.bytesTotal += backupBytes({ fs, view: partition, target: place })
    }
  }
  const report: BackupReport = { topics: plans.length, partitions: 0, records: 0, copied: 0, kept: 0, bytes: 0 }
  // Whatever ends this in the middle must leave no place beyond the records either.
  const cursorsLast = [...plans].sort((left, right) => rankOf(left) - rankOf(right))
  for (const plan of cursorsLast) {
    const replaced = prepareTopic(options, plan)
    publishTopic(options, plan, true)
    for (const view of plan.view.partitions) {
      const place = path.join(target, plan.view.config.name, String(view.partition))
      for (const bytes of backupPartition({ fs, view, target: place, verify }, report)) {
        progress.bytes += bytes
        yield progress
      }
      report.partitions++
      report.records += view.readable.offset - view.readable.offsetFirst
    }
    publishTopic(options, plan, false)
    if (replaced !== undefined) fs.removeTree(replaced)
  }
  return report
}

const rankOf = ({ view }: Planned): number => (view.config.name === CURSOR_TOPIC ? 1 : 0)

function planTopics(options: BackupOptions): Planned[] {
  const { fs, directory } = options
  const names = fs.list(directory).filter((name) => isName(name) && fs.exists(path.join(directory, name, CONFIG_FILE)))
  const plans: Planned[] = []
  for (const name of names.sort((left, right) => Number(right === CURSOR_TOPIC) - Number(left === CURSOR_TOPIC))) {
    try {
      plans.push(planTopic(options, name))
    } catch (error) {
      // Deleted since it was listed.
      if (!isGone(error)) throw error
    }
  }
  return plans
}

function isGone(error: unknown): boolean {
  return isWalrusError(error) ? error.code === 'UNKNOWN_TOPIC' : systemErrorCode(error) === 'ENOENT'
}

function planTopic({ fs, directory }: BackupOptions, name: string): Planned {
  const view = viewTopic(fs, directory, name)
  const place = path.join(directory, name)
  const others = new Map<string, Uint8Array>()
  for (const file of fs.list(place)) {
    if (file === CONFIG_FILE || file === REGISTRY_FILE || !OTHER_FILE.test(file)) continue
    others.set(file, readWholeFile(fs, path.join(place, file)))
  }
  return { view, settings: readWholeFile(fs, path.join(place, CONFIG_FILE)), others }
}

/** What others keep beside a topic's partitions, such as the command's account of what was ingested. */
const OTHER_FILE = /^[a-z]+\.json$/

/** A topic that was deleted and made again takes the place of the one before. Returns where that is to be removed. */
function prepareTopic({ fs, target, nowMs }: BackupOptions, { view }: Planned): string | undefined {
  const { name, createdMs } = view.config
  const place = path.join(target, name)
  let replaced: string | undefined
  if (fs.exists(path.join(place, CONFIG_FILE))) {
    const known = new TopicStore(fs, target).get(name)
    if (known.createdMs !== createdMs) {
      replaced = path.join(target, `.deleted-${name}.${nowMs}`)
      fs.rename(place, replaced)
      fs.syncDirectory(target)
    }
  }
  fs.makeDirectory(place)
  return replaced
}

/**
 * The topic's settings, its producers, and what else there is. Names that have not written yet do no harm, but names that
 * are missing do: so they come before the records. Where they begin is said for what the copy has.
 */
function publishTopic(options: BackupOptions, { view, settings, others }: Planned, isBefore: boolean): void {
  const { fs, directory, target } = options
  const { name } = view.config
  const place = path.join(target, name)
  const registry = loadRegistry(fs, path.join(directory, name))
  if (registry !== undefined) {
    const ends = view.partitions.map(({ readable }) => (isBefore ? 0 : readable.offset))
    const known = isBefore ? loadRegistry(fs, place) : undefined
    const since = ends.map((end, partition) => known?.since[partition] ?? end)
    publishUnlessSame(fs, place, REGISTRY_FILE, clampRegistry(registry, since))
  }
  if (!isBefore) return
  publishUnlessSame(fs, place, CONFIG_FILE, settings)
  for (const [file, bytes] of others) publishUnlessSame(fs, place, file, bytes)
}

function publishUnlessSame(fs: FileSystem, directory: string, file: string, bytes: Uint8Array): void {
  const name = path.join(directory, file)
  if (fs.exists(name) && Buffer.compare(readWholeFile(fs, name), bytes) === 0) return
  publishFile(fs, directory, file, bytes)
}
