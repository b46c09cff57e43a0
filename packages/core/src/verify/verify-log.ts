import path from 'node:path'
import { types } from 'node:util'
import { isWalrusError, WalrusError, withCode } from '../errors.js'
import { isName } from '../log/names.js'
import { loadRegistry, REGISTRY_FILE } from '../log/producer-registry.js'
import { checkSettings } from '../log/topic-file.js'
import { CONFIG_FILE, TopicStore } from '../log/topic-store.js'
import { shown } from '../shown.js'
import type { FileSystem } from '../storage/file-system.js'
import { readWholeFile } from '../storage/publish-file.js'
import { checkFileSystem, checkPath, refusal, takeFields } from './check-arguments.js'
import { ADVICE, type Finding, type FindingKind } from './findings.js'
import { copyFile, REPAIR_MODES, type RepairMode, repairPartition } from './repair-partition.js'
import { verifyBeside } from './verify-beside.js'
import { type PartitionPlace, type PartitionReport, verifyPartition } from './verify-partition.js'

export interface VerifyOptions {
  fs: FileSystem
  /** The namespace's; its lock is held by the caller, unless it verifies beside a writer. */
  directory: string
  /** Another process has the log open: only what is acknowledged is judged. Not with `repair`. */
  beside?: boolean
  /** All of them if left out. */
  topics?: readonly string[]
  repair?: RepairMode
  nowMs: number
}

export interface TopicReport {
  topic: string
  /** Of the settings; those of the partitions are theirs. */
  findings: Finding[]
  partitions: PartitionReport[]
  /** Files that were kept beside by a repair. */
  kept: string[]
  /** After a repair: what is still wrong. */
  remaining: Finding[]
}

/** Reads every byte of a log, topic by topic, and mends what it is told to. */
export function* verifyLog(given: VerifyOptions): Generator<TopicReport, void, undefined> {
  const options = checkOptions(given)
  const { fs, directory } = options
  const found = fs.list(directory).filter((name) => isTopic(fs, path.join(directory, name)))
  for (const topic of options.topics ?? []) {
    if (found.includes(topic)) continue
    const known = found.length > 0 ? `there are: ${found.join(', ')}` : 'there are none yet'
    throw new WalrusError('UNKNOWN_TOPIC', `there is no topic ${JSON.stringify(topic)} in ${directory}; ${known}`)
  }
  try {
    for (const topic of options.topics ?? found.sort()) yield verifyTopic(options, topic)
  } catch (error) {
    throw withCode(error)
  }
}

function isNames(topics: unknown): boolean {
  if (types.isProxy(topics) || !Array.isArray(topics)) return false
  return topics.every((topic) => typeof topic === 'string')
}

const OPTIONS = ['fs', 'directory', 'beside', 'topics', 'repair', 'nowMs'] as const

/** Whatever is to be mended: nothing has been touched when one of them is refused. */
function checkOptions(given: VerifyOptions): VerifyOptions {
  const options = takeFields(given, OPTIONS)
  const { fs, directory, topics, repair, nowMs } = options
  checkFileSystem(fs)
  checkPath('directory', directory)
  if (topics !== undefined && !isNames(topics)) {
    throw refusal('topics', `topics are an array of names, ${shown(topics)} was given; leave it out for all of them`)
  }
  if (repair !== undefined && !REPAIR_MODES.includes(repair)) {
    throw refusal(
      'repair',
      `repair is one of ${REPAIR_MODES.join(', ')}, ${shown(repair)} was given; leave it out to look only`,
    )
  }
  if (!(Number.isSafeInteger(nowMs) && nowMs >= 0)) {
    throw refusal(
      'nowMs',
      `nowMs is a whole number of milliseconds since 1970, ${shown(nowMs)} was given; pass Date.now()`,
    )
  }
  return options
}

/** Settings, or partitions without them. */
function isTopic(fs: FileSystem, directory: string): boolean {
  if (!isName(path.basename(directory))) return false
  return fs.exists(path.join(directory, CONFIG_FILE)) || fs.exists(path.join(directory, '0'))
}

function verifyTopic(options: VerifyOptions, topic: string): TopicReport {
  const { fs, directory, repair, nowMs } = options
  const report: TopicReport = { topic, findings: [], partitions: [], kept: [], remaining: [] }
  const settings = checkTopic(fs, directory, topic)
  report.findings.push(...settings)
  const places = partitionsOf(fs, directory, topic)
  for (const place of places) {
    report.partitions.push(options.beside ? verifyBeside(fs, directory, place) : verifyPartition(fs, place))
  }
  if (repair === undefined) return report
  if (settings.some(({ kind }) => kind === 'settings')) report.kept.push(...acceptSettings(fs, directory, topic, nowMs))
  report.remaining.push(...checkTopic(fs, directory, topic))
  for (const [at, place] of places.entries()) {
    const partition = report.partitions[at]
    if (partition.findings.length === 0) continue
    report.kept.push(...repairPartition(fs, place, partition, repair, nowMs))
    report.remaining.push(...verifyPartition(fs, place).findings)
  }
  return report
}

function checkTopic(fs: FileSystem, directory: string, topic: string): Finding[] {
  const file = path.join(directory, topic, CONFIG_FILE)
  const find = (kind: FindingKind, what: string): Finding[] => [
    { kind, topic, file, position: 0, what, advice: ADVICE[kind] },
  ]
  if (!fs.exists(file)) return find('settings', 'is missing')
  if (checkSettings(readWholeFile(fs, file)) === 'damaged') return find('settings', 'is not as this program wrote it')
  try {
    new TopicStore(fs, directory).get(topic)
    return checkNames(fs, directory, topic)
  } catch (error) {
    if (!isWalrusError(error)) throw error
    return error.code === 'FORMAT_VERSION' ? find('version', error.message) : find('settings', error.message)
  }
}

/** The topic's named producers. Without them it is not known who had been fenced: no repair takes that away. */
function checkNames(fs: FileSystem, directory: string, topic: string): Finding[] {
  try {
    loadRegistry(fs, path.join(directory, topic))
    return []
  } catch (error) {
    if (!isWalrusError(error)) throw error
    const file = path.join(directory, topic, REGISTRY_FILE)
    const advice = 'restore the file from a copy; without it, move it out of the directory: all names begin anew'
    return [{ kind: 'producers', topic, file, position: 0, what: error.message, advice }]
  }
}

/** By the directories that are there: settings that are damaged say nothing. */
function partitionsOf(fs: FileSystem, directory: string, topic: string): PartitionPlace[] {
  const names = fs.list(path.join(directory, topic)).filter((name) => /^(0|[1-9]\d{0,3})$/.test(name))
  const partitions = names.map(Number).sort((left, right) => left - right)
  return partitions.map((partition) => {
    return { topic, partition, directory: path.join(directory, topic, String(partition)) }
  })
}

function acceptSettings(fs: FileSystem, directory: string, topic: string, nowMs: number): string[] {
  const file = path.join(directory, topic, CONFIG_FILE)
  if (!fs.exists(file)) return []
  const kept = `${file}.damaged-${nowMs}`
  copyFile(fs, file, kept)
  try {
    new TopicStore(fs, directory).accept(topic)
  } catch (error) {
    // They cannot be a topic's: what is left is a copy from elsewhere.
    if (!isWalrusError(error)) throw error
    fs.remove(kept)
    return []
  }
  return [kept]
}
