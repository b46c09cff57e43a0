// What signals mean. Pure.
//
// One Ctrl-C may reach a process several times: from the terminal, which tells the whole process group; from npm, which
// passes on what it gets itself; and from scripts/run-command.mjs, which has it from both. A signal does not say where it comes
// from, so what follows the first closely is an echo of it. A person who means "at once" waits longer to see that nothing
// happens.

/** Echoes come within milliseconds; this bears a host that is busy, and is shorter than patience. */
export const ECHO_MS = 1000

/** `stop`: end in good order. `echo`: nothing new. `now`: end at once. */
export type InterruptMeaning = 'stop' | 'echo' | 'now'

export class Interrupts {
  #firstMs: number | undefined

  /** A signal has come at `nowMs`, of a clock that does not go back. */
  take(nowMs: number): InterruptMeaning {
    if (this.#firstMs === undefined) {
      this.#firstMs = nowMs
      return 'stop'
    }
    return nowMs - this.#firstMs < ECHO_MS ? 'echo' : 'now'
  }
}
