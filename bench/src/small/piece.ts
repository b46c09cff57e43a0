/** A small piece of code to be timed. */
export interface Piece {
  name: string
  /** Name of the piece that it is compared with, if any. */
  against?: string
  /** Does it `times` over, and returns something that depends on each of them, so that nothing is compiled away. */
  run: (times: number) => number
}
