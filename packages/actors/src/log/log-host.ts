import type { HostPlace } from '../group/messages.js'
import type { SharedMemory } from '../memory/shared-memory.js'
import type { ControlCalls } from './log-client.js'
import type { WalrusStats } from './stats.js'

/** What stands behind an open log in its opener's thread: one that writes, or one that only reads. */
export interface LogHost extends ControlCalls {
  /** The namespace's. */
  readonly directory: string
  readonly memory: SharedMemory
  readonly groups: { readonly place: HostPlace; close(): void }
  /** Called whenever the host's doorbell was rung. */
  poll(): void
  stats(): WalrusStats
  /** Ends all threads. */
  close(): Promise<void>
}
