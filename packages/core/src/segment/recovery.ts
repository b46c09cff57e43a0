/** The user's word for what may be given up. */
export type RecoveryMode = 'strict' | 'tail' | 'skip'

/**
 * What stands behind the first damage of a segment:
 * - `nothing`: no whole batch of the segment follows;
 * - `unacknowledged`: whole batches follow, but none of them was stamped after the damaged one was acknowledged. The disk
 *   wrote later pages first and then lost its power: what is gone was never promised;
 * - `acknowledged`: a later batch proves that the damaged one had been acknowledged. This is corruption.
 */
export type Behind = 'nothing' | 'unacknowledged' | 'acknowledged'

export type RecoveryAction =
  /** Keep all up to the end of the run, cut what is behind. */
  | 'cut'
  /** Keep the file as it is and the whole batches behind the damage; readers are shown the gap. */
  | 'keep-and-skip'
  /** Refuse to open, naming file and byte. */
  | 'refuse'

/** Every combination has its row; `recovery.test.ts` walks the table. */
const DECISIONS: Record<RecoveryMode, Record<Behind, RecoveryAction>> = {
  strict: { nothing: 'cut', unacknowledged: 'cut', acknowledged: 'refuse' },
  tail: { nothing: 'cut', unacknowledged: 'cut', acknowledged: 'cut' },
  skip: { nothing: 'cut', unacknowledged: 'keep-and-skip', acknowledged: 'keep-and-skip' },
}

/** What speaks, behind a damaged place, of what had stood there. */
export interface Witness {
  batchCount: number
  acknowledgedOffset: number
}

/** `offset`: the first that is damaged or missing. */
export function classifyDamage(offset: number, ...witnesses: Witness[]): Behind {
  if (witnesses.some(({ acknowledgedOffset }) => acknowledgedOffset > offset)) return 'acknowledged'
  return witnesses.some(({ batchCount }) => batchCount > 0) ? 'unacknowledged' : 'nothing'
}

export function decideRecovery(mode: RecoveryMode, behind: Behind): RecoveryAction {
  return DECISIONS[mode][behind]
}
