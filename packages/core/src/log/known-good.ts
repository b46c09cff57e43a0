/** A point up to which a partition's bytes are known to be whole: what lies behind it is read, or cut. */
export interface KnownGood {
  /** Base offset of the segment that the point lies in. */
  baseOffset: number
  /** Byte of the segment's file where the next batch begins. */
  position: number
  /** Offset of that batch's first record. */
  offset: number
}
