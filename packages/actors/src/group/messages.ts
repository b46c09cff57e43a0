import type { CursorMove } from '@walrus-log/core'
import type { TopicPlace } from '../log/place.js'

/*
 * What a consumer and the host say to each other. Calls go over the control lanes, as all calls do; notices over a port
 * between the two threads, whose closing tells the host that the thread has ended.
 *
 *   joinGroup             the answer comes when what was free for the member is its own
 *   notice                "ask again", whenever what the member has was changed by anybody else
 *   groupShare            what it has now; a partition that is new is read from `offset` on, which is durable
 *   releasePartitions     after what it handled of them is committed
 *   leaveGroup            after all that it handled is committed
 */

/** Where a group begins in a partition that it has no cursor in. */
export type ConsumeFrom = 'start' | 'end' | number | Date

export interface JoinRequest {
  /** The client's slot and its life: whose end is the member's end. */
  client: number
  life: number
  group: string
  topic: string
  createdMs: number
  from: ConsumeFrom
}

/** A member's place in its group. */
export interface Membership {
  group: string
  topic: string
  member: number
}

/** One partition that a member has. */
export interface Share {
  partition: number
  generation: number
  /** Where the group's cursor stood when it was granted. */
  offset: number
  /** It is to be given up, as soon as nothing of it is in hand. */
  isRevoked: boolean
}

export interface Release {
  partition: number
  generation: number
}

/** The log that cursors are written to, and the offset from which on it should be made shorter. */
export interface CursorLogPlace {
  place: TopicPlace
  compactAt: number
}

/** A consumer's cursor was moved, because what it pointed to is not there. */
export interface CursorEvent {
  type: 'cursor-moved'
  reason: CursorMove
  topic: string
  partition: number
  group: string
  /** Where the cursor stood, and where it stands now. */
  from: number
  to: number
}

/** How far a group is in one partition. */
export interface GroupPartitionStats {
  partition: number
  /** The committed cursor: the next record that the group wants. */
  cursor: number
  /** Acknowledged records from the cursor on. */
  lag: number
}

export interface GroupStats {
  group: string
  /** Consumers of the group in this process. */
  members: number
  lag: number
  partitions: GroupPartitionStats[]
}

/** Calls that the host answers for consumers, whichever thread they come from. */
export interface GroupCalls {
  cursorLog(): Promise<CursorLogPlace>
  /** Makes the cursor log shorter if it should be. Returns the offset from which on it should be again. */
  compactCursors(): Promise<number>
  joinGroup(request: JoinRequest): Promise<number>
  groupShare(membership: Membership): Promise<Share[]>
  releasePartitions(membership: Membership, releases: Release[]): Promise<void>
  leaveGroup(membership: Membership): Promise<void>
  cursorMoved(event: CursorEvent): Promise<void>
}

/** A link as an attached thread offers it to the host's thread. */
export interface LinkOffer {
  kind: 'walrus-group-link'
  /** Which of the logs that are open in the host's thread. */
  log: number
  client: number
  life: number
}

/** What the host says over a link: that this member is to ask for its share again. */
export type Notice = number

/** The thread that opened a log, as a handle names it. */
export interface HostPlace {
  thread: number
  log: number
}
