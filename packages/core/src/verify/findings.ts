/** What is wrong with a file, in the words that a program may branch on. */
export type FindingKind =
  /** Batches that are not whole, or are not there, before others that are. */
  | 'batches'
  /** The end of a partition: a torn write, or damage; nothing tells them apart. */
  | 'tail'
  /** A segment's header. */
  | 'header'
  /** A segment that others show to have been there. */
  | 'missing'
  /** An index, or an index of what is not there. */
  | 'index'
  | 'gaps'
  /** A part of a compressed segment that is there twice, and of which one is not sound. */
  | 'compression'
  /** How far named producers came, or which names there are. */
  | 'producers'
  /** What a trim or retention left as the first offset. */
  | 'state'
  /** How far compaction has come. */
  | 'compaction'
  /** A topic's settings. */
  | 'settings'
  /** A file that belongs elsewhere, or overlaps another. No repair touches it. */
  | 'misplaced'
  /** A format that this version does not know. No repair touches it. */
  | 'version'

/** Damage, by file, byte and offsets. Ends are exclusive; undefined where nobody knows. */
export interface Finding {
  kind: FindingKind
  topic: string
  partition?: number
  file: string
  position: number
  positionTo?: number
  offset?: number
  offsetTo?: number
  /** What was found, and what to do about it. */
  what: string
  advice: string
}

export const ADVICE: Record<FindingKind, string> = {
  batches:
    "restore the file from a copy; or '--repair skip' keeps all that is whole, '--repair cut' ends the log there",
  tail: "the next open cuts it off; restore the file from a copy first, or '--repair' cuts it and keeps the original",
  header: "restore the file from a copy; or '--repair skip' reads on without it, '--repair cut' ends the log before it",
  missing: "restore the file from a copy; or '--repair skip' leaves a gap, '--repair cut' ends the log before it",
  index: "'--repair' makes it anew from its segment",
  gaps: "restore the file from a copy; or '--repair skip' finds out anew what its segment has lost",
  compression: "nothing is lost yet: '--repair' writes the segment anew, from the part that is sound",
  producers: "restore the file from a copy; or '--repair' takes it away, and the next open makes it anew where it can",
  state:
    "restore the file from a copy; or '--repair' mends it where one of its copies is whole, and else takes it away: the log then begins with its first segment again",
  compaction: "remove the file, or '--repair' takes it away: compaction then looks at all segments anew",
  settings: "restore the file from a copy; or '--repair' accepts settings that can be as they stand",
  misplaced: 'move it out of the directory',
  version: 'use the version that wrote it',
}
