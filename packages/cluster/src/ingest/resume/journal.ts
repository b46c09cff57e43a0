// How far the files of a topic were ingested, in the words of its producers. Pure.
//
// Records go to the topic in streams: each chunk of a source, or each key, has one, and a stream has one named producer
// in one partition. Which record goes where depends on the source alone, so that "stream s has so many records of this
// source" says exactly which ones are there.

/** One run over a source, or several of which each went on where the one before ended. */
export interface Run {
  /** By stream: sequence of its first record. */
  firsts: number[]
  /** By stream: how many records it has; null while it goes on, or where it was killed: until the next one looks. */
  counts: number[] | null
}

export interface SourceFile {
  path: string
  bytes: number
  /** Of the first and the last bytes: tells a file that has grown from another one. */
  fingerprint: number
}

/** What decides which record goes to which stream. */
export interface Mapping {
  formats: string[]
  delimiters: string[]
  key: string | null
  streams: number
}

export interface JournalSource {
  files: SourceFile[]
  mapping: Mapping
  /** By partition: the offset before the first of the runs. */
  offsets: number[]
  runs: Run[]
}

/** The sources of a topic, the latest one last. */
export interface Journal {
  sources: JournalSource[]
}

/** The oldest is forgotten; an ingest of it begins anew then. */
const SOURCES_MAX = 1000

export const emptyJournal = (): Journal => ({ sources: [] })

export function sourceOf(journal: Journal, paths: readonly string[]): JournalSource | undefined {
  return journal.sources.find(({ files }) => {
    return files.length === paths.length && files.every(({ path }, index) => path === paths[index])
  })
}

/** How many streams any of them has. */
export function streamsMax(journal: Journal): number {
  return Math.max(0, ...journal.sources.map(({ mapping }) => mapping.streams))
}

/**
 * Brings the counts up to what the log holds: `nexts` are, by stream, one past the last sequence that was accepted. The
 * run that was under way has come so far; where the log has lost its end with the power, runs are shorter than they were.
 */
export function settle(journal: Journal, nexts: readonly number[]): Journal {
  const settleRun = ({ firsts, counts }: Run): Run => ({
    firsts,
    counts: firsts.map((first, stream) => {
      const there = Math.max(nexts[stream] - first, 0)
      return counts === null ? there : Math.min(counts[stream], there)
    }),
  })
  return { sources: journal.sources.map((source) => ({ ...source, runs: source.runs.map(settleRun) })) }
}

/** How many records of each stream are in the log. */
export function recordsThere({ mapping, runs }: JournalSource): number[] {
  return Array.from({ length: mapping.streams }, (_, stream) => {
    return runs.reduce((sum, { counts }) => sum + (counts?.[stream] ?? 0), 0)
  })
}

/** Begins a run, behind all others. `source` has the runs that it goes on with, or none. The journal has been settled. */
export function begin(journal: Journal, source: JournalSource, nexts: readonly number[]): Journal {
  const firsts = nexts.slice(0, source.mapping.streams)
  const runs = [...source.runs]
  const last = runs.at(-1)
  if (last?.counts && last.firsts.every((first, stream) => first + last.counts![stream] === firsts[stream])) {
    runs[runs.length - 1] = { firsts: last.firsts, counts: null }
  } else {
    runs.push({ firsts, counts: null })
  }
  const paths = source.files.map(({ path }) => path)
  const before = sourceOf(journal, paths)
  const others = journal.sources.filter((other) => other !== before)
  return { sources: [...others, { ...source, runs }].slice(-SOURCES_MAX) }
}

/** Sequences of a stream that are the source's: pairs of the first and one past the last. */
export function sequencesOf({ runs }: JournalSource, stream: number): [number, number][] {
  return runs.map(({ firsts, counts }) => [
    firsts[stream],
    counts === null ? Number.MAX_SAFE_INTEGER : firsts[stream] + counts[stream],
  ])
}
