import { performance } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

/** How long one turn of the main thread's event loop may go on sending. A sender in a loop would otherwise starve
 *  everything else of the process, since a lane that is emptied as fast as it is filled never says "full". */
const TURN_MS_MAX = 1
/** How many sends pass between two looks at the clock (a look costs as much as a send). */
const SENDS_BETWEEN_LOOKS = 64

let sendsLeft = SENDS_BETWEEN_LOOKS
let turnStartMs = -1

/** Whether the main thread's turn has lasted long enough; to be asked once a send. Never true in other threads. */
export function isTurnOver(): boolean {
  if (!isMainThread || --sendsLeft > 0) return false
  sendsLeft = 1
  if (isReadTurnOver()) return true
  sendsLeft = SENDS_BETWEEN_LOOKS
  return false
}

/** The same for a reader, in any thread; to be asked once a window. A turn is one, whatever it was spent on. */
export function isReadTurnOver(): boolean {
  const nowMs = performance.now()
  if (turnStartMs < 0) {
    turnStartMs = nowMs
    setImmediate(endTurn)
  }
  return nowMs - turnStartMs > TURN_MS_MAX
}

/** Resolves when the event loop has gone round. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function endTurn(): void {
  turnStartMs = -1
  sendsLeft = SENDS_BETWEEN_LOOKS
}
